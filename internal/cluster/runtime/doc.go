// Package runtime runs containerd beside the agent: it writes its configuration, starts it, waits until it says that it is
// ready, and starts it again when it ends. It also puts images into it from archives.
//
// In flow folders and names; out flows the path of the CRI's socket. Containers never depend on this package's life: their
// shims are processes of their own, so that they run on while containerd or the agent is away and are adopted afterwards. The
// package knows nothing of pods. Only one of our processes may run containerd on one folder, which containerd's own lock
// ensures.
package runtime
