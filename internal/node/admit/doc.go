// Package admit decides whether a node takes a pod that was assigned to it. Pure: the pod, the node and the pods already there
// in, a refusal or nothing out. Reasons and messages are the kubelet's.
package admit
