// Package clienttest is the test suite that every client.Interface passes.
//
// Run is given a way to make a client of an empty server (a namespace "default" is there); it tests what the interface
// promises and nothing that only one implementation does.
package clienttest
