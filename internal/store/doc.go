// Package store keeps the cluster's objects: etcd below, one in-memory image above.
//
// In flow keys, values and preconditions (Commit); out flow consistent snapshots (Collection.Snapshot, Get, List) and ordered
// events (Collection.Follow). Keys and bytes are upstream's: /registry/<path>/[namespace/]name. The store knows keys, bytes
// and a codec, never a kind: what an object means, whether it is valid and who may write it is decided above.
//
// Only etcd's own watch feeds the image, this process's writes included; Commit returns when the image has reached its
// revision, so whoever writes can read what it wrote.
package store
