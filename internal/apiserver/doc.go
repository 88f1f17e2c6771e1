// Package apiserver serves the Kubernetes API: over TLS with HTTP/2, and in process for the parts that live beside it.
//
// In flow requests and connections; out flow answers. A request is identified, authorized and counted here, then handed to
// package wire (resources), discovery, openapi or proxy (streams to nodes and pods). What a call means is in package chain;
// who may do it, what is admitted and what is allocated is decided by the parts that the configuration hands in.
package apiserver
