// Package plugins holds the scheduler's rules, a file each; order.go lists which run and what they weigh. Rules and wordings
// follow upstream's plugins of the same names.
package plugins
