// Package rootca puts the cluster's root certificate into every active namespace, as the config map kube-root-ca.crt that the
// projected token volumes mount. In flow namespaces and those config maps; out flow creates and updates. The certificate
// itself is configuration. Behaviour follows upstream's pkg/controller/certificates/rootcacertpublisher of Kubernetes v1.37.
package rootca
