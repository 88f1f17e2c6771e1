// Package services is the view on Services and their EndpointSlices that the proxy and the DNS server share.
//
// In flow the caches of a client; out flow the names of services that changed since the last look, many events merged into one,
// and each service with its slices. The package decides nothing.
package services
