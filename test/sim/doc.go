// Package sim runs the pure parts against each other in one goroutine, with a seeded queue of what happens next: views lag and
// jump back after a crash, answers get lost, processes die in the middle of a plan. A seed is a whole history; the same seed
// gives the same history.
//
// The first simulation drives the replica set controller through the engine's own ledger and shows that both rules of package
// reconcile are needed: with either switched off some seeds create pods twice.
package sim
