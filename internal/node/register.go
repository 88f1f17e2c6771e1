package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/nodestatus"
)

// How soon things are tried again while the node is not there yet. A runtime has no event for becoming ready.
const (
	leaseRetry    = 200 * time.Millisecond
	registerFirst = 100 * time.Millisecond
	registerMost  = 7 * time.Second
	unreadyPeriod = 200 * time.Millisecond
	imagesPeriod  = time.Minute
)

// runNodeStatus registers the node and keeps its status: looked at every StatusPeriod (often while not ready), written when it
// changed and every StatusReport.
func (a *Agent) runNodeStatus(ctx context.Context) error {
	a.recorder.About(a.nodeRef(), v1.EventTypeNormal, "Starting", "Starting kubelet.")
	machine := nodestatus.Read(a.cfg.RootDir)
	var images []v1.ContainerImage
	var imagesAt, written time.Time
	registered := false
	failures := wait{}
	for {
		now := a.cfg.Now()
		if now.Sub(imagesAt) >= imagesPeriod {
			if list, err := a.images.List(ctx); err == nil {
				images, imagesAt = list, now
			}
		}
		in := a.nodeInput(ctx, machine, images, now)
		wasReady := a.networkReady.Swap(in.NotReady == "")
		if !wasReady && in.NotReady == "" {
			a.pokeAll()
		}
		var err error
		if !registered {
			err = a.register(ctx, in)
			registered = err == nil
			written = now
		} else {
			err = a.reportNode(ctx, in, now.Sub(written) >= a.cfg.StatusReport, func() { written = now })
			registered = !apierrors.IsNotFound(err)
		}
		pause := a.cfg.StatusPeriod
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures = failures.failed(now, registerFirst, registerMost, err.Error())
			pause = failures.delay
			a.cfg.Logger.Warn("reporting the node's status", "kind", "Node", "name", a.cfg.NodeName, "err", err)
		case in.NotReady != "":
			pause = unreadyPeriod
		}
		if err == nil {
			failures = wait{}
		}
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

func (a *Agent) pokeAll() {
	for _, w := range a.all() {
		w.poke()
	}
}

// nodeInput gathers what is known about the node now.
func (a *Agent) nodeInput(
	ctx context.Context, machine nodestatus.Machine, images []v1.ContainerImage, now time.Time,
) nodestatus.Input {
	in := nodestatus.Input{
		Name: a.cfg.NodeName, Hostname: a.cfg.Hostname, IPs: a.cfg.NodeIPs, Machine: machine,
		Pressure: nodestatus.ReadPressure(a.cfg.RootDir), Capacity: a.cfg.Capacity, Reserved: a.cfg.Reserved,
		MaxPods: a.cfg.MaxPods, Version: a.cfg.Version, Port: a.port(), Images: images, Now: now,
		Labels: a.cfg.Labels, Taints: a.cfg.Taints, ProviderID: a.cfg.ProviderID,
	}
	if _, told := a.cfg.Capacity[v1.ResourceMemory]; told {
		in.Pressure.MemoryAvailable = -1 // the machine's figure is not this node's
	}
	status, err := a.runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		in.NotReady = "container runtime is down: " + cri.Sentence(err)
		return in
	}
	if a.runtimeInfo.Load() == nil {
		if info, err := a.runtime.Describe(ctx); err == nil {
			a.runtimeInfo.Store(&info)
		}
	}
	if info := a.runtimeInfo.Load(); info != nil {
		in.RuntimeVersion = info.Name + "://" + info.Version
	}
	conditions := map[string]nodestatus.RuntimeCondition{}
	for _, c := range status.GetStatus().GetConditions() {
		conditions[c.Type] = nodestatus.RuntimeCondition{OK: c.Status, Reason: c.Reason, Message: c.Message}
	}
	in.NotReady = nodestatus.RuntimeNotReady(conditions)
	a.noteFeatures(status, &in)
	return in
}

// noteFeatures keeps what the runtime's handlers can do.
func (a *Agent) noteFeatures(status *runtimeapi.StatusResponse, in *nodestatus.Input) {
	f := &runtimeFeatures{handlers: status.RuntimeHandlers, groupsPolicy: status.GetFeatures().GetSupplementalGroupsPolicy()}
	in.GroupsPolicy = f.groupsPolicy
	for _, h := range status.RuntimeHandlers {
		rro, users := h.GetFeatures().GetRecursiveReadOnlyMounts(), h.GetFeatures().GetUserNamespaces()
		in.Handlers = append(in.Handlers, v1.NodeRuntimeHandler{
			Name: h.Name, Features: &v1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: &rro, UserNamespaces: &users},
		})
		if h.Name == "" {
			f.recursiveReadOnly, f.users = rro, users
		}
	}
	a.handlers.Store(f)
}

func (a *Agent) port() int32 {
	_, port, err := net.SplitHostPort(a.cfg.Listen)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

// register creates the Node, or brings the labels of an existing one up to date and writes its status.
func (a *Agent) register(ctx context.Context, in nodestatus.Input) error {
	node := nodestatus.Object(in)
	obj, err := a.cfg.Client.Write(ctx, client.Write{Verb: client.Create, Resource: kinds.Nodes(), Object: node})
	if err == nil {
		created, ok := obj.(*v1.Node)
		if !ok {
			return fmt.Errorf("the created node was answered with a %T", obj)
		}
		a.setNode(created)
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("registering the node: %w", err)
	}
	existing, err := client.Get[*v1.Node](ctx, a.cfg.Client, kinds.Nodes(), "", a.cfg.NodeName)
	if err != nil {
		return fmt.Errorf("reading the registered node: %w", err)
	}
	a.setNode(existing)
	patch, err := labelPatch(existing, node)
	if err != nil {
		return err
	}
	if patch != nil {
		obj, err := a.cfg.Client.Write(ctx, client.Write{
			Verb: client.Patch, Resource: kinds.Nodes(), Name: a.cfg.NodeName, PatchType: types.MergePatchType, PatchData: patch,
		})
		if err != nil {
			return fmt.Errorf("labelling the node: %w", err)
		}
		if labelled, ok := obj.(*v1.Node); ok {
			a.setNode(labelled)
		}
	}
	return a.reportNode(ctx, in, true, func() {})
}

// setNode keeps the node's object, unless a newer one is known.
func (a *Agent) setNode(n *v1.Node) {
	for {
		known := a.node.Load()
		if known != nil && known.UID == n.UID && revision(known.ResourceVersion) > revision(n.ResourceVersion) {
			return
		}
		if a.node.CompareAndSwap(known, n) {
			a.registerOnce.Do(func() { close(a.registered) })
			return
		}
	}
}

// revision reads a resource version; 0 when it is none.
func revision(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// runOwnNode follows what others write into the node's object: taints, labels, conditions.
func (a *Agent) runOwnNode(ctx context.Context) error {
	cache, err := a.cfg.Client.Cache(client.Selection{Resource: kinds.Nodes(), FieldSelector: "metadata.name=" + a.cfg.NodeName})
	if err != nil {
		return fmt.Errorf("opening the cache of the own node: %w", err)
	}
	_, stream := cache.Follow()
	defer stream.Close()
	for {
		changes, err := stream.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("following the own node: %w", err)
		}
		for _, e := range changes {
			if n, ok := e.Object.(*v1.Node); ok && e.Type != client.Deleted {
				a.setNode(n)
			}
		}
	}
}

// labelPatch returns a patch with the labels and annotations that the existing node lacks; nil when it has them all.
func labelPatch(existing, wanted *v1.Node) ([]byte, error) {
	labels, annotations := map[string]string{}, map[string]string{}
	for k, v := range wanted.Labels {
		if have, ok := existing.Labels[k]; !ok || have != v {
			labels[k] = v
		}
	}
	for k, v := range wanted.Annotations {
		if have, ok := existing.Annotations[k]; !ok || have != v {
			annotations[k] = v
		}
	}
	if len(labels)+len(annotations) == 0 {
		return nil, nil
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}})
}

// reportNode writes the status when it changed, or when force says so.
func (a *Agent) reportNode(ctx context.Context, in nodestatus.Input, force bool, written func()) error {
	known := a.node.Load()
	if known == nil {
		return errors.New("the node is not registered")
	}
	status := nodestatus.Status(in, known.Status)
	if !force && !nodestatus.Changed(known.Status, status) {
		return nil
	}
	patch, err := nodePatch(known.Status, status)
	if err != nil {
		return err
	}
	obj, err := a.cfg.Client.Write(ctx, client.Write{
		Verb: client.Patch, Resource: kinds.Nodes(), Subresource: "status", Name: a.cfg.NodeName,
		PatchType: types.StrategicMergePatchType, PatchData: patch,
	})
	if err != nil {
		return fmt.Errorf("patching the node's status: %w", err)
	}
	a.sayReady(known.Status, status)
	if node, ok := obj.(*v1.Node); ok {
		a.setNode(node)
	}
	written()
	return nil
}

// sayReady records that the node became ready, or no longer is.
func (a *Agent) sayReady(before, after v1.NodeStatus) {
	ready := func(s v1.NodeStatus) v1.ConditionStatus {
		for _, c := range s.Conditions {
			if c.Type == v1.NodeReady {
				return c.Status
			}
		}
		return v1.ConditionUnknown
	}
	if ready(before) == ready(after) {
		return
	}
	reason := "NodeNotReady"
	if ready(after) == v1.ConditionTrue {
		reason = "NodeReady"
	}
	a.recorder.About(a.nodeRef(), v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", a.cfg.NodeName, reason))
}

// nodePatch returns the strategic merge patch between two statuses. Addresses have no unique key, so they are replaced whole.
func nodePatch(from, to v1.NodeStatus) ([]byte, error) {
	before, err := json.Marshal(v1.Node{Status: from})
	if err != nil {
		return nil, fmt.Errorf("encoding the known status: %w", err)
	}
	after, err := json.Marshal(v1.Node{Status: to})
	if err != nil {
		return nil, fmt.Errorf("encoding the new status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, v1.Node{})
	if err != nil {
		return nil, fmt.Errorf("making a patch: %w", err)
	}
	var fields map[string]map[string]any
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	status := fields["status"]
	if status == nil {
		return []byte(`{"status":{}}`), nil
	}
	delete(status, "$setElementOrder/addresses")
	if _, changed := status["addresses"]; changed {
		addresses := []any{map[string]string{"$patch": "replace"}}
		for _, address := range to.Addresses {
			addresses = append(addresses, address)
		}
		status["addresses"] = addresses
	}
	return json.Marshal(fields)
}
