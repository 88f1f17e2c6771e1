// Package builtin assembles the catalogue of every resource that Kubernetes v1.37 serves by default, and the scheme of their Go
// types. It is the only package that knows all group packages.
package builtin
