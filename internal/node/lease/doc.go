// Package lease says that a node lives: it renews the node's Lease in kube-node-lease, by which others judge the node.
//
// In flow a client, a node's name and a clock; out flow updates of one Lease. How a node is judged is the controllers' business.
package lease
