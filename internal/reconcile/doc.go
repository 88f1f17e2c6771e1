// Package reconcile is the engine that runs controllers.
//
// A controller declares what it reads (Inputs) and writes (Outputs) and decides purely: Reconcile takes an immutable View and
// a Key and returns a Plan, groups of writes as values. The engine wakes keys on changes of the inputs, hands the view over,
// performs the plan through package client, refuses undeclared reads and writes, retries with back-off and records events.
//
// Two rules keep a controller from acting twice on something it has already done:
//
//  1. After a plan wrote, its key waits, per written input kind, until its view has reached the write (see Ledger).
//  2. After start-up and after a change of leader no key runs on a view older than a consistent read made then.
//
// In flow client Snapshots and Events; out flow client Writes. The engine must not know any controller, and a controller must
// not know the engine: it needs no clock, no client and no goroutine, which is why its tests are text files (package
// reconciletest). What controllers of pods share as pure functions is in packages owner and pods below this one.
package reconcile
