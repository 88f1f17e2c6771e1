// Package proxy carries requests on to where they are answered: logs, exec, attach and port-forward to the node's agent, proxied
// HTTP to nodes, pods and services.
//
// In flow authorized calls whose target is a stream; out flow the bytes of whoever answers. Addresses of pods and services may
// be reachable from certain network namespaces only, so both ways of dialling are handed in. WebSocket sessions of exec, attach
// and port-forward are translated to SPDY, which every kubelet understands.
package proxy
