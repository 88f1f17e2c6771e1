// Package cri speaks to the container runtime: the Container Runtime Interface of k8s.io/cri-api over gRPC.
//
// Pure functions turn a pod into the runtime's sandbox and container configurations; a thin client sends them and turns what
// the runtime answers into the observations of package pod. The labels and annotations by which a restarted agent recognises
// its containers are upstream's, so that crictl and others read them too. It knows nothing of the API server.
package cri
