package store

// item is the image's record of one key at one revision.
type item struct{}
