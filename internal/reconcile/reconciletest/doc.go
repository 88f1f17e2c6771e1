// Package reconciletest runs controllers' scenarios: text files that hold objects and a time, and the plan that the controller
// should make of them. Anyone who knows kubectl can read one.
//
// A scenario is a txtar archive. Its comment says what it shows. Its parts:
//
//	objects.yaml   what the view holds
//	key            the key, as namespace/name or "resource.group namespace/name"; default: the first object
//	now            the view's time (RFC 3339); default 2030-01-01T00:00:00Z
//	seen           a line "namespace/name time" for each object with a tracked first sight; others count as seen now
//	last.yaml      how the previous plan's writes ended: a list of verb, resource, name, and the error's code and message
//	answer X       what the previous plan's call answered, for the test's own decoder; X is "port" or "port/id"
//	plan           what should come out; "go test -rewrite" writes it
//
// Updates are shown as the difference to the object in the view.
package reconciletest
