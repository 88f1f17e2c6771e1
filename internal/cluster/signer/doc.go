// Package signer approves and signs the certificates that agents ask for.
//
// In flow CertificateSigningRequests, and for a node's own port its Node; out flow approvals and certificates of the cluster's
// authority. It approves two kinds: a node's client certificate, when the one who asks may ask for it (a join token's user, or
// the node for itself; the API server's authorizer is asked, as upstream does), and a node's serving certificate, when the node
// asks for its own name and for addresses that its Node object has. It signs what it, or an administrator, has approved for
// these signers and for kube-apiserver-client. Old requests are removed.
package signer
