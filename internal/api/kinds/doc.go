// Package kinds names the built-in kinds that our parts read and write: the plural is the resource, the singular the kind at its
// stored version. They are functions because a package holds no state. The names are all there is here: what a kind means is
// in the catalogue (package builtin), which is tested to know every one of them.
package kinds
