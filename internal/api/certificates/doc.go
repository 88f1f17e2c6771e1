// Package certificates describes the kinds of the API group certificates.k8s.io: names, defaults, what a write may
// change, and their tables. It knows nothing of storage, HTTP or other objects than the ones handed in.
package certificates
