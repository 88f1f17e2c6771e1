// Package ipam hands out pod addresses from a node's ranges and keeps them as files.
//
// In flow ranges and owners (a container and its interface); out flow addresses. Each taken address is a file of its name whose
// content is its owner: it is linked into place with its content, so that a crash at any moment leaves either no file or a
// whole one. A lock file makes the operations of several processes exclusive. The package knows nothing of links or pods.
package ipam
