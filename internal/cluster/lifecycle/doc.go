// Package lifecycle starts the parts of a process in order and stops them in the reverse order. A part is anything with
// Run(ctx) error; the first that ends by itself ends all.
//
// In flow the parts' Run methods and a context; out flows the error of the part that broke first. It knows nothing of what the
// parts do.
package lifecycle
