// Package local is the client of the API server's own process: the same checks as over HTTPS, no serialisation, no second cache.
//
// In flow Write values and names; out flow the store image's own objects, Snapshots and Events. It knows package chain and
// nothing of HTTP but for Raw, which is handed to it.
package local
