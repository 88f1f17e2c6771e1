// Package e2e tests whole clusters: the real binary, real containers, and upstream's kubectl and client-go as the users.
//
// In flow the coracle binary (named by $CORACLE) and the folder of image contents ($IMAGES); `make e2e` gives both. TestMain
// starts one cluster of three nodes, each test works in a namespace of its own, and in the end the cluster is removed and
// nothing of it may be left on the machine. Tests that break things (kill processes, lose a node) run first and one by one;
// the others then run side by side.
//
// Nothing here waits for time to pass. What the API tells is watched (see until), what only a pod can see is asked from
// inside the pod (see the program in tool).
package e2e
