// Package discovery says what is served: the plain documents under /api and /apis, and the aggregated ones of apidiscovery v2.
//
// In flow a catalogue; out flow documents as bytes, each with an ETag, made once for each catalogue. The package serves them
// over HTTP but knows nothing of who asks.
package discovery
