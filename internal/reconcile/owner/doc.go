// Package owner decides which objects belong to which owner: the controller reference rules that every controller of dependent
// objects shares. Pure functions over objects; it plans adoption and release as patches and performs nothing.
package owner
