// Package arch holds the test that says who may import whom. The policy is policy.txt, written to be read.
package arch
