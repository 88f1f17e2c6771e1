// Package serve is the kubelet's HTTPS API on port 10250: what the API server (for kubectl logs, exec, attach, port-forward) and
// monitoring ask of a node.
//
// Every request but the health checks is authenticated (client certificate or token) and authorised as the matching subresource
// of nodes. Streams are not understood here: the runtime gives an address for each, and the connection is passed on.
package serve
