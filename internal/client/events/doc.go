// Package events records what happened to an object as core/v1 Events, for people who ask why.
//
// In flow facts (an object, a reason, a message), out flow creates and patches of Events through the client, in the
// background: recording never blocks and never fails the caller. Repetitions are counted on one Event, floods of similar ones
// are combined and then dropped, by upstream's rules. What to record is the callers' business.
package events
