// Package endpointslice publishes which pods stand behind a Service: as EndpointSlices, which the service proxies read, and as
// the older Endpoints object for clients that still want it.
//
// In flow services, pods and (for zones) nodes; out flow slices of at most 100 endpoints, packed so that a change of one pod
// writes one slice, and one Endpoints object. Services without a selector are left to whoever manages their endpoints.
// Behaviour follows upstream's k8s.io/endpointslice and pkg/controller/endpoint of Kubernetes v1.37, except that the
// topology-mode annotation gives no hints (the trafficDistribution field does).
package endpointslice
