// Package server assembles a server: the store, the API server with who may do what, the controllers, the scheduler and, unless
// left out, the first node.
//
// In flow the server's settings; out flows a running cluster. run.go is the one list of what starts, in order; security.go puts
// together how callers are identified, authorised and admitted.
package server
