// Package nodestatus says what a node is and how it is: the Node object that the agent registers and the status that it keeps
// up to date. Status and Object are pure; Read and ReadPressure ask the machine.
package nodestatus
