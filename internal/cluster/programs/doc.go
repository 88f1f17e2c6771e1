// Package programs carries the helper programs inside the binary and unpacks them once: containerd, its shim, runc, kubectl,
// the CNI plugin, the init of local nodes and the process that holds a pod's namespaces.
//
// In flow a folder for programs; out flows the folder of this build's set, named by the set's hash. A set appears whole or not
// at all: it is written beside its place, synced and renamed, so a crash leaves at most a folder that the next run removes.
// The compressed programs are put into assets/ by `make programs`; a binary built without them says so when asked.
package programs
