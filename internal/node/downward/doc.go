// Package downward answers what a pod may ask about itself: the field and resource references of environments and downward API
// volumes. Pure: facts in, text out.
package downward
