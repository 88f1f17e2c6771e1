// Package admission changes and refuses writes between decoding and storing. One plugin per file; Default (chain.go) gives
// their order.
//
// In flow an Operation, which is one write on its way, and the caches of what a plugin must know of other objects; out flow
// changes to the Operation's object, or an error. Plugins keep no state of their own and write nothing elsewhere. Names,
// effects, order and messages are kube-apiserver's.
package admission
