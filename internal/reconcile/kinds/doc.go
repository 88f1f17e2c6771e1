// Package kinds names the built-in kinds that controllers work on: the plural is the resource, the singular the kind at its
// stored version. They are functions because a package holds no state.
package kinds
