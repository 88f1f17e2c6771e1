// Package namespace empties namespaces that are being deleted and then lets them go.
//
// In flow namespaces, and the metadata of every kind to wake up when something in a dying namespace has gone; out flow the
// namespace's conditions and its finalization. The emptying itself is I/O over every served kind and is behind the port
// "empty": it deletes what there is and reports what is left. Behaviour follows upstream's pkg/controller/namespace of
// Kubernetes v1.37: pods go first.
package namespace
