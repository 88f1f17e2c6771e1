package namespace

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

const portName = "empty"

// EmptyRequest asks to delete everything in a namespace.
type EmptyRequest struct {
	Namespace string
	UID       types.UID
}

// Report is what is left in a namespace, by consistent reads.
type Report struct {
	// Remaining counts objects by resource ("deployments.apps"), Finalizers counts objects by finalizer.
	Remaining, Finalizers map[string]int
	// Failures are deletes and reads that failed, DiscoveryFailures kinds that could not be told.
	Failures, DiscoveryFailures []string
	// Estimate is how long what remains may take to go, as far as pods' grace periods tell.
	Estimate time.Duration
}

func (r Report) done() bool {
	return len(r.Remaining) == 0 && len(r.Failures) == 0 && len(r.DiscoveryFailures) == 0
}

// EmptyPort answers an EmptyRequest with a Report. Pods go first: other objects may be what lets them end well. One call
// deletes what there is; it does not wait for anything to be gone.
type EmptyPort struct{}

// Call implements reconcile.Port.
func (EmptyPort) Call(ctx context.Context, c client.Interface, request any) (any, error) {
	r, _ := request.(EmptyRequest)
	e := &emptying{c: c, namespace: r.Namespace, report: Report{Remaining: map[string]int{}, Finalizers: map[string]int{}}}
	var others []*api.Resource
	for _, res := range c.Catalogue().Resources() {
		if !res.Namespaced || res.StoredAs.Resource != "" ||
			!slices.Contains(res.Verbs, "list") || !slices.Contains(res.Verbs, "delete") {
			continue
		}
		if res.GroupResource() == kinds.Pods() {
			e.empty(ctx, res)
			continue
		}
		others = append(others, res)
	}
	if len(e.report.Remaining) > 0 {
		return e.report, ctx.Err()
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, res := range others {
		g.Go(func() error {
			e.empty(ctx, res)
			return nil
		})
	}
	_ = g.Wait() // never fails: failures are in the report
	slices.Sort(e.report.Failures)
	return e.report, ctx.Err()
}

type emptying struct {
	c         client.Interface
	namespace string

	mu     sync.Mutex
	report Report
}

// empty deletes the namespace's objects of one kind and counts what is left.
func (e *emptying) empty(ctx context.Context, res *api.Resource) {
	left, err := e.list(ctx, res)
	if err == nil && len(left) > 0 {
		if err = e.delete(ctx, res, left); err == nil {
			left, err = e.list(ctx, res)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.report.Failures = append(e.report.Failures, fmt.Sprintf("%s: %v", res.GroupResource(), err))
	}
	for _, obj := range left {
		e.report.Remaining[res.GroupResource().String()]++
		for _, f := range obj.GetFinalizers() {
			e.report.Finalizers[f]++
		}
		if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.TerminationGracePeriodSeconds != nil {
			e.report.Estimate = max(e.report.Estimate, time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second)
		}
	}
}

func (e *emptying) list(ctx context.Context, res *api.Resource) ([]api.Object, error) {
	list, err := e.c.List(ctx, res.GroupResource(), client.ListOptions{Namespace: e.namespace})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil, nil // the kind has just gone
	}
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// delete deletes in the background, at once where the server can, one by one where not.
func (e *emptying) delete(ctx context.Context, res *api.Resource, left []api.Object) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if slices.Contains(res.Verbs, "deletecollection") {
		_, err := e.c.Write(ctx, client.Write{
			Verb: client.DeleteCollection, Resource: res.GroupResource(), Namespace: e.namespace, Delete: options,
		})
		return err
	}
	for _, obj := range left {
		if obj.GetDeletionTimestamp() != nil {
			continue
		}
		_, err := e.c.Write(ctx, client.Write{
			Verb: client.Delete, Resource: res.GroupResource(), Namespace: e.namespace, Name: obj.GetName(), Delete: options,
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
