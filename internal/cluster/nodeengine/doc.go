// Package nodeengine puts a node's container engine together: the carried programs, containerd's settings, and the images that
// a node must have before its first pod.
//
// In flow the agent's settings; out flow a containerd supervisor that only needs to be run, and images in it: the one of the
// process that holds a pod's namespaces, and those that were built on this machine. Nothing is fetched from anywhere.
package nodeengine
