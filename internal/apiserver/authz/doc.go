// Package authz decides who may do what: the Node authorizer, then RBAC; the group system:masters may do anything.
//
// In flow the attributes of a call and the caches of roles, bindings, pods and volumes; out flow decisions with a reason. What
// is decided from is kept by following caches: an index from subjects to bindings, and for each object the nodes whose pods
// need it, so that a decision looks a few entries up and walks nothing. Decisions, reasons and messages are kube-apiserver's.
package authz
