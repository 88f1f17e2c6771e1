// Package serviceaccount gives every active namespace its service accounts, normally the one called default, which pods run
// as when they name none. In flow namespaces and service accounts; out flow creates. Behaviour follows upstream's
// pkg/controller/serviceaccount of Kubernetes v1.37.
package serviceaccount
