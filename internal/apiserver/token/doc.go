// Package token issues and verifies service account tokens: JWTs signed with the cluster's own keys.
//
// In flow keys, service accounts and the objects a token is bound to; out flow signed tokens, and from presented tokens the
// identity they prove. Verifying a signature is pure and its result is kept; whether the service account and the bound object
// still exist is asked on every use, so that deleting a pod ends its tokens at once. Claims, key IDs, error texts and the
// discovery documents follow kube-apiserver. The package does not know how a token travels (package authn does).
package token
