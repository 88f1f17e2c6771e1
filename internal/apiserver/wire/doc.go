// Package wire is the API over HTTP: paths and queries become calls of package chain, what comes back becomes bytes.
//
// In flow HTTP requests whose caller is known; out flow answers in JSON, YAML or protobuf, as objects, Tables or metadata alone,
// single, in lists or in watches. Encodings of stored objects are made once for each revision and shared by all answers; lists
// and watches are joined from them. Nothing here decides what a call does: that is package chain.
package wire
