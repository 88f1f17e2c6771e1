// Package queue says which pod the scheduler should try next, and when. It is a state machine without clock or goroutine:
// every method takes the time, and Next tells how long nothing will change by itself.
//
// A pod is ready (to be tried now), resting (tried in vain, waits out its back-off) or parked (nothing that has happened
// since could help it). An event wakes the parked pods that it could help: into rest while their back-off lasts, else ready.
package queue
