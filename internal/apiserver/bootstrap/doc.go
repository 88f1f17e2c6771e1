// Package bootstrap knows what must exist in every cluster before anyone asks for it, and puts it there.
//
// In flow a configuration (addresses, certificates) and a client; out flow the default roles and bindings, the first
// namespaces, the system priority classes, the mandatory flow-control objects, the Service "kubernetes" with its endpoints,
// and the ConfigMaps by which extension servers and joining nodes find their authorities. The data is pure; Run alone writes,
// and only what is missing: what an administrator changed stays, except that the default roles keep at least their rules.
package bootstrap
