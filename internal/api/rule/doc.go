// Package rule holds the checks that the validation of many kinds is made of. A check takes the path of a field and its value and
// returns what is wrong with it, in upstream's words, since clients and tests compare them. In flow paths and plain values, out
// flow field errors; nothing here knows a kind, an old object or a request.
//
// A kind's validation concatenates checks (slices.Concat), one line a field.
package rule
