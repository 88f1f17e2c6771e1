// Package join makes a machine a member of a cluster: it turns a join token into a node's own certificates and renews them.
//
// In flow the server's URL, a token and a node's name; out flow files below the agent's PKI folder and certificates for TLS. The
// order of events: the server's authority is taken from its TLS handshake and believed only when its hash is the token's; the
// token's secret is then shown to that server and no other; a certificate signing request asks for the node's client
// certificate; with that one, later, another asks for the certificate of the node's own port. Both are asked for anew when 70
// to 80 % of their life are over. Who signs is the server's business; see package signer.
package join
