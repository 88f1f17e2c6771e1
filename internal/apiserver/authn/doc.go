// Package authn establishes who calls: client certificates, service account tokens, bootstrap tokens.
//
// In flow requests with their credentials and the caches by which tokens are checked; out flows a request.User, or an error
// that becomes 401 Unauthorized. Nothing here decides what a user may do. Names, groups and extra information are those of
// kube-apiserver.
package authn
