// Package store keeps the cluster's objects: etcd below, one in-memory image above.
//
// In flow keys, values and preconditions (Commit); out flow consistent snapshots (Collection.Snapshot, Get, List) and ordered
// events (Collection.Follow). Keys and bytes are upstream's: /registry/<path>/[namespace/]name. The store knows keys, bytes
// and a codec, never a kind: what an object means, whether it is valid and who may write it is decided above.
//
// Only etcd's own watch feeds the image, this process's writes included; Commit returns when the image has reached its
// revision, so whoever writes can read what it wrote.
//
// # How it is made
//
//	Commit ──▶ backend (etcd) ──watch──▶ feed ──▶ image ──▶ folder states ──▶ Snapshot, At, Stream
//
// The image holds every key under the root, each once: item is a key at one revision with its bytes, its object (decoded on
// first use) and its kept encodings. A folder is the part of one collection: a table of persistent B-trees (tree.go) and a
// history of the newest events (history.go). One goroutine, the feed, changes tables and histories; after each batch it
// publishes immutable states and then the tip, the revision reached. Readers take no lock: they load the tip, then a folder's
// state, and so see every change up to the tip.
//
// A Stream is a place in the history; a thousand of them share its events and are woken by one closed channel. An exact older
// state is the newest one with the events since undone, or, before the window, a listing of etcd at that revision.
//
// The backend interface has two implementations: etcdClient, on an embedded or an outside etcd, and the tests' fake.
package store
