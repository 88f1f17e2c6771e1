// Package controllers lists the controllers. Each is a package of its own below this one and knows no other.
package controllers
