// Package handler performs the actions that probes and lifecycle hooks share: an HTTP request to a pod, a TCP connection, a gRPC
// health check, a command in a container. Each call is one try with the caller's deadline.
//
// In flow an action and the pod it is for; out flows its result. What a failure means is decided elsewhere (packages probe and
// pod).
package handler
