// Package imagebuild builds container images without a registry, a daemon or the network: from a small subset of the
// Dockerfile language and a folder of files.
//
// In flow a Dockerfile, its folder and the archives of images built before; out flows an archive in docker-save form that any
// containerd imports. The same input gives the same bytes: times are fixed, owners are root and entries are sorted. Nothing is
// executed, so RUN is refused; a program is compiled first and copied in.
package imagebuild
