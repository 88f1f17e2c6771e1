// Package storetest opens real stores for other packages' tests: an embedded etcd in a temporary folder, running until the
// test ends.
package storetest
