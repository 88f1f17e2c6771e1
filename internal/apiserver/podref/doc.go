// Package podref lists which other objects a pod or a volume names. Pure functions that authorization and admission share: what
// a pod names, its node may read.
// In flow specs of pods and volumes; out flow names. Nothing is looked up: whether a named object exists is the
// callers' business.
package podref
