package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/client"
)

// permissions are the declared writes.
type permissions struct {
	every map[client.Verb]bool
	verbs map[permission]bool
}

type permission struct {
	resource    schema.GroupResource
	subresource string
	verb        client.Verb
}

func permissionsOf(outputs []Output) permissions {
	p := permissions{every: map[client.Verb]bool{}, verbs: map[permission]bool{}}
	for _, out := range outputs {
		for _, verb := range out.Verbs {
			if out.Every {
				p.every[verb] = true
				continue
			}
			p.verbs[permission{out.Resource, out.Subresource, verb}] = true
		}
	}
	return p
}

// judge refuses a plan as a whole when any part of it was not declared.
func (p permissions) judge(plan Plan, ports map[string]Port) error {
	for _, group := range plan.Groups {
		for _, w := range group {
			if w.invalid != nil {
				return w.invalid
			}
			if !p.every[w.Verb] && !p.verbs[permission{w.Resource, w.Subresource, w.Verb}] {
				return fmt.Errorf("%s %s %q: not declared as an output", w.Verb, w.Resource, w.Subresource)
			}
		}
	}
	for _, call := range plan.Calls {
		if _, ok := ports[call.Port]; !ok {
			return fmt.Errorf("calling port %q: not declared", call.Port)
		}
	}
	return nil
}

// Check judges a plan as the engine does: whether every write and call was declared.
func Check(c Controller, plan Plan) error {
	var ports map[string]Port
	if p, ok := c.(PortUser); ok {
		ports = p.Ports()
	}
	return permissionsOf(c.Outputs()).judge(plan, ports)
}

// perform does the groups in order, and what ended how goes to the key's ledger and outcome.
func (r *runner) perform(ctx context.Context, e *entry, plan Plan) error {
	var failed error
	e.last.At = r.cfg.Clock.Now()
	for _, group := range plan.Groups {
		results := r.performGroup(ctx, group)
		for i, res := range results {
			e.ledger.Record(res.Write, res.Stored, res.Err)
			if apierrors.IsNotFound(res.Err) && res.Write.Verb == client.Delete {
				res.Err = nil // what should go is gone
			}
			if res.Err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", describe(res.Write), res.Err))
			}
			e.last.Results = append(e.last.Results, res)
			r.tell(ctx, group[i], res)
		}
		if failed != nil {
			break
		}
	}
	for _, ev := range plan.Events {
		r.announce(ev)
	}
	if failed == nil {
		e.last.Results = nil // success needs no memory
	}
	return failed
}

func (r *runner) performGroup(ctx context.Context, group Group) []Result {
	results := make([]Result, len(group))
	var g errgroup.Group
	g.SetLimit(r.cfg.WritesAtOnce)
	for i, w := range group {
		g.Go(func() error {
			stored, err := r.write(ctx, w.Write)
			results[i] = Result{Write: w.Write, Stored: stored, Err: err}
			return nil
		})
	}
	_ = g.Wait() // never fails: errors are results
	return results
}

func (r *runner) write(ctx context.Context, w client.Write) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.WriteTimeout)
	defer cancel()
	stored, err := r.client.Write(ctx, w)
	r.cfg.Metrics.Wrote(r.c.Name(), w, err)
	return stored, err
}

// tell records the event of a write's end.
func (r *runner) tell(ctx context.Context, w Write, res Result) {
	ev := w.Done
	switch {
	case res.Err != nil && (ctx.Err() != nil || apierrors.HasStatusCause(res.Err, "NamespaceTerminating")):
		return
	case res.Err != nil:
		ev = w.Failed
	}
	if ev == nil {
		return
	}
	told := *ev
	told.Message = FillIn(told.Message, nameOf(res), res.Err)
	r.announce(told)
}

// FillIn puts a written object's name and a write's error into an event's message.
func FillIn(message, name string, err error) string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	return strings.NewReplacer("{name}", name, "{error}", text).Replace(message)
}

func nameOf(res Result) string {
	if res.Write.Name != "" || res.Stored == nil {
		return res.Write.Name
	}
	if m, err := meta.Accessor(res.Stored); err == nil {
		return m.GetName()
	}
	return ""
}

// call makes the calls at once and collects their answers.
func (r *runner) call(ctx context.Context, calls []Call) map[CallID]Answer {
	answers := make(map[CallID]Answer, len(calls))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(r.cfg.WritesAtOnce)
	for _, call := range calls {
		g.Go(func() error {
			value, err := r.ports[call.Port].Call(ctx, r.client, call.Request)
			mu.Lock()
			defer mu.Unlock()
			answers[CallID{Port: call.Port, ID: call.ID}] = Answer{Value: value, Err: err}
			return nil
		})
	}
	_ = g.Wait() // never fails: errors are answers
	return answers
}

func describe(w client.Write) string {
	name := w.Name
	if w.Namespace != "" {
		name = w.Namespace + "/" + name
	}
	resource := w.Resource.String()
	if w.Subresource != "" {
		resource += "/" + w.Subresource
	}
	return fmt.Sprintf("%s %s %s", w.Verb, resource, name)
}

// announce records an event; it never blocks.
func (r *runner) announce(ev Event) { r.events.About(ev.Regarding, ev.Type, ev.Reason, ev.Message) }
