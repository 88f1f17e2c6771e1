// Package api is the catalogue: what every built-in Kubernetes resource is, as data and pure functions.
//
// A Resource says how a kind is named, served, defaulted, validated, indexed and printed. One sub-package per API group
// (core, apps, batch, ...) holds the entries, a file per kind; builtin assembles them all. In flow Go values of the
// k8s.io/api types, out flow the same values defaulted, prepared or judged. Nothing here knows of storage, HTTP, clocks or
// other objects than the ones handed in: a function that needs the time takes it as an argument.
//
// Behaviour follows Kubernetes v1.37 unless a comment says otherwise.
package api
