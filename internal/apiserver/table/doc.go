// Package table turns objects into meta.k8s.io Tables, by the columns and rows that the catalogue gives each kind.
//
// In flow objects of the stored type and the time they are seen at; out flows a metav1.Table without its metadata. Pure.
package table
