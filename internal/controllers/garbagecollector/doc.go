// Package garbagecollector deletes objects whose owners are gone, and does the work behind the other two propagation policies:
// it holds an owner that is deleted in the foreground until its dependents are gone, and cuts dependents loose from one that
// orphans them.
//
// In flow the metadata of every served kind; out flow deletes and patches of any kind. An owner that the view does not show is
// only believed to be gone when a consistent read through the port "owner" confirms it, and every delete names the UID and
// resource version it was decided on. Behaviour follows upstream's pkg/controller/garbagecollector of Kubernetes v1.37.
package garbagecollector
