// Package pods holds what the controllers that own pods have in common: judging a pod, making one from a template, and ranking
// which to delete first. Pure functions over objects and a time.
package pods
