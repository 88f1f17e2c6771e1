// Package volume puts a pod's volumes on the node's disk and says how they are mounted into its containers.
//
// In flow pods and, through a Source, ConfigMaps, Secrets and tokens; out flow folders below the agent's root in upstream's
// layout (pods/UID/volumes/kubernetes.io~KIND/NAME) and CRI mounts. Content that comes from the API is written atomically: a
// reader sees all of the old or all of the new. Mounting again refreshes; nothing is kept in memory but tokens.
//
// Volumes that need a storage driver are refused with an error that says so.
package volume
