// Package node is the node agent: it makes the pods that the API server assigned to this node run, and says how they are.
//
// What to do for a pod is decided by pure functions (package node/pod); this package is the loop around them. A worker per pod
// waits for events (the pod changed, the runtime reports, a probe result, an operation ended, a timer), looks at the runtime,
// asks pod.Next what should be under way and pod.Status what to report, and starts or cancels operations accordingly. The
// hands are the sub-packages: cri, image, volume, env, probe, handler, cgroup; serve is the kubelet's HTTPS API; lease and
// nodestatus speak for the node itself.
//
// Everything is rebuilt from the runtime's labels after a restart: containers run on while the agent is away.
package node
