// Package csr approves and signs certificate requests, so that nodes can join and renew their certificates unattended.
//
// In flow CertificateSigningRequests, Nodes and the cluster's authority; out flow approvals and certificates. Decide (what may
// be approved by itself) and Sign (what a certificate holds) are pure; Controller performs. Client certificates of nodes are
// approved for those whom RBAC lets create certificatesigningrequests/nodeclient or /selfnodeclient, as upstream does; serving
// certificates, which upstream leaves to people, for a node that asks for its own names and addresses only.
package csr
