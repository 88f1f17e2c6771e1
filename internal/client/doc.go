// Package client is how every part but the API server reads and writes: one interface, in process or over HTTPS.
//
// Two implementations exist: the API server's own (no serialisation, the same checks), and HTTPS to a remote server (package
// client/remote). Both pass one test suite (client/clienttest). In flow Write values and names; out flow immutable objects,
// Snapshots and Events. Objects are of the stored version's Go type, as the catalogue says; all objects handed out are shared
// and immutable, and objects handed in must not be changed afterwards.
//
// API errors are k8s.io/apimachinery/pkg/api/errors Status errors in both implementations.
package client
