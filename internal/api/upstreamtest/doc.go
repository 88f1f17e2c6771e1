// Package upstreamtest compares the catalogue with Kubernetes v1.37.2 itself: random objects go through both, and defaults,
// prepared objects, printed rows, quality-of-service classes, grace periods and selectable fields must come out the same.
// What is said about writes is compared too, about random ones and those of the scenario files of all groups.
//
// It is a module of its own, so that the product never depends on k8s.io/kubernetes. Run it with "go test -mod=mod ./..." here.
package upstreamtest
