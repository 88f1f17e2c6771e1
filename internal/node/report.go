package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/pod"
)

// reporter knows what the API has of a pod's status: the newest of what the cache showed and what a write answered.
type reporter struct {
	known    v1.PodStatus
	revision uint64
	writing  bool
	failures wait
	done     chan reported
}

// reported is the end of one write.
type reported struct {
	pod *v1.Pod
	err error
}

const reportFirst, reportMost = 500 * time.Millisecond, 10 * time.Second

// base notes a pod from the API, unless a newer one is known.
func (r *reporter) base(p *v1.Pod) {
	n := revision(p.ResourceVersion)
	if n != 0 && n < r.revision {
		return
	}
	r.known, r.revision = p.Status, n
}

// reportStatus writes the status when the API has another, one write at a time. It returns when a failed write is due again.
func (w *worker) reportStatus(ctx context.Context, now time.Time) time.Time {
	r := &w.report
	if r.done == nil {
		r.done = make(chan reported, 1)
	}
	select {
	case end := <-r.done:
		w.wrote(end, now)
	default:
	}
	w.reported = equality.Semantic.DeepEqual(r.known, w.last)
	if w.reported || w.gone || r.writing {
		return time.Time{}
	}
	if now.Before(r.failures.until) {
		return r.failures.until
	}
	patch, err := statusPatch(w.pod, r.known, w.last)
	if err != nil {
		w.log.Error("comparing statuses", "err", err)
		return time.Time{}
	}
	if patch == nil {
		w.reported = true
		return time.Time{}
	}
	r.writing = true
	p := w.pod
	go func() {
		obj, err := w.agent.cfg.Client.Write(ctx, client.Write{
			Verb: client.Patch, Resource: kinds.Pods(), Subresource: "status", Namespace: p.Namespace, Name: p.Name,
			PatchType: types.StrategicMergePatchType, PatchData: patch,
		})
		answer, _ := obj.(*v1.Pod)
		r.done <- reported{answer, err}
		w.poke()
	}()
	return time.Time{}
}

func (w *worker) wrote(end reported, now time.Time) {
	r := &w.report
	r.writing = false
	switch {
	case end.err == nil && end.pod != nil && end.pod.UID == w.pod.UID:
		r.failures = wait{}
		r.base(end.pod)
	case end.err == nil, apierrors.IsNotFound(end.err), apierrors.IsConflict(end.err):
		// Another pod of this name, or none: the cache will tell.
		r.failures = r.failures.failed(now, reportFirst, reportMost, "")
	default:
		r.failures = r.failures.failed(now, reportFirst, reportMost, end.err.Error())
		w.log.Warn("reporting the pod's status", "err", end.err)
	}
}

// statusPatch returns the strategic merge patch from one status to the other, bound to the pod's UID; nil when they agree.
func statusPatch(p *v1.Pod, from, to v1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(v1.Pod{Status: from})
	if err != nil {
		return nil, fmt.Errorf("encoding the known status: %w", err)
	}
	after, err := json.Marshal(v1.Pod{Status: to})
	if err != nil {
		return nil, fmt.Errorf("encoding the new status: %w", err)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, v1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("making a patch: %w", err)
	}
	if string(patch) == "{}" {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	fields["metadata"] = json.RawMessage(fmt.Sprintf(`{"uid":%q}`, p.UID))
	return json.Marshal(fields)
}

// keepForeign takes from the API what others write into a pod's status: their conditions, and an end that they decided.
func keepForeign(own, api v1.PodStatus) v1.PodStatus {
	mine := map[v1.PodConditionType]bool{
		v1.PodReadyToStartContainers: true, v1.PodInitialized: true, v1.PodReady: true, v1.ContainersReady: true,
	}
	if len(own.Conditions) == 0 {
		mine = nil
	}
	var conditions []v1.PodCondition
	for _, c := range own.Conditions {
		if mine[c.Type] {
			conditions = append(conditions, c)
		}
	}
	for _, c := range api.Conditions {
		if !mine[c.Type] {
			conditions = append(conditions, c)
		}
	}
	own.Conditions = conditions
	if own.StartTime == nil {
		own.StartTime = api.StartTime
	}
	if pod.IsTerminal(api.Phase) && !pod.IsTerminal(own.Phase) {
		own.Phase, own.Reason, own.Message = api.Phase, api.Reason, api.Message
	}
	own.ResourceClaimStatuses, own.ExtendedResourceClaimStatus = api.ResourceClaimStatuses, api.ExtendedResourceClaimStatus
	own.NominatedNodeName, own.Resize = api.NominatedNodeName, api.Resize
	return own
}
