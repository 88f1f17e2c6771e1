package sim

import (
	"context"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// process is one life of the controllers' process: what it has seen and what it owes.
type process struct {
	w     *world
	rng   *rand.Rand
	rules rules
	c     reconcile.Controller
	key   reconcile.Key

	seen   map[schema.GroupResource]int64 // how far each view has come
	fresh  int64                          // rule 2: the revision that a consistent read made at the start returned
	ledger reconcile.Ledger
	reads  map[schema.GroupResource]int64 // consistent reads under way, for the ledger
	last   reconcile.Outcome
	todo   []reconcile.Group
	failed bool
	done   []reconcile.Result
}

// rules are the engine's two, which a test may switch off.
type rules struct{ first, second bool }

// newProcess starts a life with views from some time in the past, as a lagging server or a cache on disk would give.
func newProcess(w *world, rng *rand.Rand, r rules, c reconcile.Controller, key reconcile.Key) *process {
	p := &process{
		w: w, rng: rng, rules: r, c: c, key: key,
		seen: map[schema.GroupResource]int64{}, fresh: w.revision, reads: map[schema.GroupResource]int64{},
	}
	for _, gr := range resources {
		p.seen[gr] = max(0, w.revision-rng.Int64N(12))
	}
	return p
}

// catchUp moves one view on by a few revisions.
func (p *process) catchUp() {
	gr := resources[p.rng.IntN(len(resources))]
	p.seen[gr] = min(p.w.revision, p.seen[gr]+1+p.rng.Int64N(4))
	p.w.note("view %s %d", gr, p.seen[gr])
	if at, reading := p.reads[gr]; reading && p.seen[gr] >= at {
		p.ledger.Synced(gr)
		delete(p.reads, gr)
	}
}

func (p *process) snapshot(gr schema.GroupResource) (client.Snapshot, bool) {
	at, ok := p.seen[gr]
	return p.w.at(gr, at), ok
}

// mayRun applies the rules.
func (p *process) mayRun() bool {
	if p.rules.second {
		for _, gr := range resources {
			if p.seen[gr] < p.fresh {
				return false
			}
		}
	}
	if !p.rules.first {
		return true
	}
	debts := p.ledger.Debts(p.snapshot)
	for _, d := range debts {
		if _, reading := p.reads[d.Resource]; d.Sync && !reading {
			p.reads[d.Resource] = p.w.revision
		}
	}
	return len(debts) == 0
}

// step does the next thing this process would do: a write of its plan, or a new plan.
func (p *process) step() error {
	if len(p.todo) > 0 {
		p.writeOne()
		return nil
	}
	if !p.mayRun() {
		return nil
	}
	v := reconcile.NewView(reconcile.ViewConfig{
		Now: epoch, Snapshot: p.snapshot, Last: map[reconcile.Key]reconcile.Outcome{p.key: p.last},
	})
	plan, err := p.c.Reconcile(v, p.key)
	if err != nil {
		return err
	}
	p.last, p.done, p.failed = reconcile.Outcome{}, nil, false
	for _, g := range plan.Groups {
		p.todo = append(p.todo, slices.Clone(g))
	}
	p.w.note("plan %d", len(p.todo))
	return nil
}

// writeOne performs any one write of the plan's current group.
func (p *process) writeOne() {
	group := p.todo[0]
	i := p.rng.IntN(len(group))
	cw := group[i].Write
	p.todo[0] = slices.Delete(group, i, i+1)
	stored, err := p.send(cw)
	p.ledger.Record(cw, stored, err)
	delete(p.reads, cw.Resource) // a read made before this write tells nothing about it
	if err != nil && !(apierrors.IsNotFound(err) && cw.Verb == client.Delete) {
		p.failed = true
	}
	p.done = append(p.done, reconcile.Result{Write: cw, Stored: stored, Err: err})
	if len(p.todo[0]) > 0 {
		return
	}
	p.todo = p.todo[1:]
	if p.failed {
		p.last, p.todo = reconcile.Outcome{Results: p.done}, nil
	}
}

// send writes over a network that loses questions and answers.
func (p *process) send(cw client.Write) (runtime.Object, error) {
	switch p.rng.IntN(20) {
	case 0:
		return nil, context.DeadlineExceeded // never arrived
	case 1:
		_, _ = p.w.write(cw) // the answer is lost, whatever it was
		return nil, context.DeadlineExceeded
	}
	return p.w.write(cw)
}

// environment is everybody else: nodes that start and end pods, and pods that are deleted by hand.
func environment(w *world, rng *rand.Rand) {
	var all []*corev1.Pod
	for obj := range w.at(pods, w.revision).All("") {
		if pod, ok := obj.(*corev1.Pod); ok {
			all = append(all, pod)
		}
	}
	if len(all) == 0 {
		return
	}
	pod := all[rng.IntN(len(all))].DeepCopy()
	switch {
	case pod.DeletionTimestamp != nil:
		w.put(pods, pod.Namespace, pod.Name, nil)
	case rng.IntN(6) == 0:
		_ = w.delete(pods, pod) // cannot fail
	case pod.Status.Phase != corev1.PodRunning:
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		w.put(pods, pod.Namespace, pod.Name, pod)
	}
}
