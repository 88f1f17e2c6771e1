package chain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
)

// maxDisruptedPods is how many evictions of a budget may wait for its controller.
const maxDisruptedPods = 2000

// maxEvictionAttempts bounds how often an eviction begins anew after losing a race.
const maxEvictionAttempts = 20

// evict deletes a pod if its disruption budget allows: POST to pods/eviction.
func (c *Chain) evict(ctx context.Context, call *Call, obj runtime.Object) (runtime.Object, error) {
	eviction, err := asEviction(obj)
	if err != nil {
		return nil, err
	}
	if eviction.Name != call.Name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	opts := eviction.DeleteOptions
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	if err := validateDeleteOptions(opts); err != nil {
		return nil, err
	}
	call.DryRun = call.DryRun || len(opts.DryRun) > 0
	op := call.operation("create", eviction, nil)
	if err := c.admit(ctx, op); err != nil {
		return nil, err
	}
	if err := c.validate(ctx, op); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		err := c.evictOnce(ctx, call, opts)
		pinned := opts.Preconditions != nil && opts.Preconditions.ResourceVersion != nil
		if !apierrors.IsConflict(err) || pinned || attempt == maxEvictionAttempts {
			if err != nil {
				return nil, err
			}
			return &metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
				Status:   metav1.StatusSuccess, Code: http.StatusCreated,
			}, nil
		}
	}
}

func asEviction(obj runtime.Object) (*policyv1.Eviction, error) {
	switch e := obj.(type) {
	case *policyv1.Eviction:
		return e, nil
	case *policyv1beta1.Eviction:
		return &policyv1.Eviction{ObjectMeta: e.ObjectMeta, DeleteOptions: e.DeleteOptions}, nil
	default:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
}

func (c *Chain) evictOnce(ctx context.Context, call *Call, opts *metav1.DeleteOptions) error {
	pods, k, err := c.podKind(ctx)
	if err != nil {
		return err
	}
	inner := *call
	inner.Target, inner.Options = pods, nil
	inner.Attributes.Subresource = ""
	item, err := c.Get(ctx, &inner, "")
	if err != nil {
		return err
	}
	obj, err := item.Object()
	if err != nil {
		return err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return apierrors.NewInternalError(fmt.Errorf("pod is a %T", obj))
	}
	opts = opts.DeepCopy()
	if budgetMatters(pod) {
		pin, err := c.askBudget(ctx, call, pod)
		if err != nil {
			return err
		}
		if pin {
			pinVersion(opts, pod.ResourceVersion)
		}
	} else if pod.Status.Phase == corev1.PodPending && pod.DeletionTimestamp.IsZero() {
		// It may become healthy, and so matter to a budget, before the delete.
		pinVersion(opts, pod.ResourceVersion)
	}
	return c.deleteEvicted(ctx, &inner, k, opts)
}

func (c *Chain) podKind(ctx context.Context) (Target, *kind, error) {
	pods, err := c.Resolve(kinds.Pods(), "", "")
	if err != nil {
		return pods, nil, apierrors.NewInternalError(err)
	}
	k, err := c.kind(ctx, pods.Resource)
	return pods, k, err
}

func pinVersion(opts *metav1.DeleteOptions, version string) {
	if opts.Preconditions == nil {
		opts.Preconditions = &metav1.Preconditions{}
	}
	if opts.Preconditions.ResourceVersion == nil {
		opts.Preconditions.ResourceVersion = &version
	}
}

// budgetMatters tells whether ending the pod is a disruption at all.
func budgetMatters(pod *corev1.Pod) bool {
	switch pod.Status.Phase {
	case corev1.PodSucceeded, corev1.PodFailed, corev1.PodPending:
		return false
	default:
		return pod.DeletionTimestamp.IsZero()
	}
}

// deleteEvicted writes the pod's condition that it was evicted, then deletes it.
func (c *Chain) deleteEvicted(ctx context.Context, call *Call, k *kind, opts *metav1.DeleteOptions) error {
	if !call.DryRun {
		now := c.cfg.Now()
		out, _, err := c.update(ctx, call, k, rules{raw: true, unconditional: true}, func(old api.Object) (api.Object, error) {
			if err := checkPreconditions(k.res, old, opts.Preconditions); err != nil {
				return nil, err
			}
			next, ok := old.DeepCopyObject().(*corev1.Pod)
			if !ok {
				return nil, apierrors.NewInternalError(fmt.Errorf("pod is a %T", old))
			}
			setPodCondition(&next.Status, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
				Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
			}, now)
			return next, nil
		})
		if err != nil {
			return err
		}
		if p, ok := out.(*corev1.Pod); ok && opts.Preconditions != nil && opts.Preconditions.ResourceVersion != nil {
			opts.Preconditions.ResourceVersion = &p.ResourceVersion
		}
	}
	_, err := c.delete(ctx, call, k, opts)
	return err
}

// askBudget takes one disruption from the pod's budget. Pin tells that the answer holds for this version of the pod alone.
func (c *Chain) askBudget(ctx context.Context, call *Call, pod *corev1.Pod) (pin bool, err error) {
	budgets, err := c.budgetsOf(ctx, pod)
	if err != nil {
		return false, err
	}
	switch {
	case len(budgets) == 0:
		return false, nil
	case len(budgets) > 1:
		return false, apierrors.NewInternalError(errors.New( //nolint:staticcheck // upstream's words
			"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."))
	}
	if unhealthyMayGo(pod, budgets[0]) {
		return true, nil
	}
	target, err := c.Resolve(kinds.PodDisruptionBudgets(), "", "status")
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	k, err := c.kind(ctx, target.Resource)
	if err != nil {
		return false, err
	}
	inner := *call
	inner.Target = target
	inner.Attributes.Group, inner.Attributes.Resource, inner.Attributes.Name =
		policyv1.GroupName, "poddisruptionbudgets", budgets[0].Name
	now := c.cfg.Now()
	_, _, err = c.update(ctx, &inner, k, rules{raw: true, unconditional: true}, func(old api.Object) (api.Object, error) {
		budget, ok := old.DeepCopyObject().(*policyv1.PodDisruptionBudget)
		if !ok {
			return nil, apierrors.NewInternalError(fmt.Errorf("budget is a %T", old))
		}
		return budget, takeDisruption(budget, pod.Name, now)
	})
	return false, err
}

// budgetsOf returns the budgets that select the pod.
func (c *Chain) budgetsOf(ctx context.Context, pod *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	target, err := c.Resolve(kinds.PodDisruptionBudgets(), "", "")
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	k, err := c.kind(ctx, target.Resource)
	if err != nil {
		return nil, err
	}
	listing, err := k.collect(k.coll.Snapshot(), Filter{}, pod.Namespace, "", 0)
	if err != nil {
		return nil, err
	}
	var out []*policyv1.PodDisruptionBudget
	for _, item := range listing.Items {
		obj, err := item.Object()
		if err != nil {
			return nil, err
		}
		budget, ok := obj.(*policyv1.PodDisruptionBudget)
		if !ok {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			out = append(out, budget)
		}
	}
	return out, nil
}

// unhealthyMayGo tells whether a pod that is not ready may be evicted without asking the budget for a disruption.
func unhealthyMayGo(pod *corev1.Pod, budget *policyv1.PodDisruptionBudget) bool {
	ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	if ready {
		return false
	}
	if p := budget.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return budget.Status.CurrentHealthy >= budget.Status.DesiredHealthy && budget.Status.DesiredHealthy > 0
}

// takeDisruption counts one disruption against a budget, or says why it can't.
func takeDisruption(b *policyv1.PodDisruptionBudget, pod string, now time.Time) error {
	gr := schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudget"}
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return tooManyDisruptions(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", b.Name))
	case b.Status.DisruptionsAllowed < 0:
		return withBudgetCause(apierrors.NewForbidden(gr, b.Name, errors.New("pdb disruptions allowed is negative")),
			fmt.Sprintf("The disruption budget %s does not allow evicting pods currently: pdb disruptions allowed is negative",
				b.Name))
	case len(b.Status.DisruptedPods) > maxDisruptedPods:
		return withBudgetCause(apierrors.NewForbidden(gr, b.Name,
			errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller")),
			fmt.Sprintf("The disruption budget %s does not allow evicting pods currently: too many pending evictions not "+
				"confirmed by PDB controller", b.Name))
	case b.Status.DisruptionsAllowed == 0:
		return tooManyDisruptions(0, whyNoDisruption(b))
	}
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse,
			Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Status.ObservedGeneration,
			LastTransitionTime: metav1.NewTime(now),
		})
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	// The budget's controller takes the entry out when it has seen the pod end, or after a while.
	b.Status.DisruptedPods[pod] = metav1.NewTime(now)
	return nil
}

func whyNoDisruption(b *policyv1.PodDisruptionBudget) string {
	cond := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	says := cond != nil && cond.Status == metav1.ConditionFalse && cond.Message != ""
	switch {
	case says && cond.Reason == policyv1.SyncFailedReason:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s",
			b.Name, cond.Message)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently",
			b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case says:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s",
			b.Name, cond.Reason, cond.Message)
	default:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name)
	}
}

func tooManyDisruptions(retryAfter int, cause string) error {
	return withBudgetCause(
		apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter), cause)
}

func withBudgetCause(err *apierrors.StatusError, message string) error {
	if err.ErrStatus.Details == nil {
		err.ErrStatus.Details = &metav1.StatusDetails{}
	}
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: message})
	return err
}

// setPodCondition sets a condition, its time only when its status changes.
func setPodCondition(status *corev1.PodStatus, cond corev1.PodCondition, now time.Time) {
	cond.LastTransitionTime = metav1.NewTime(now)
	for i := range status.Conditions {
		old := &status.Conditions[i]
		if old.Type != cond.Type {
			continue
		}
		if old.Status == cond.Status {
			cond.LastTransitionTime = old.LastTransitionTime
		}
		*old = cond
		return
	}
	status.Conditions = append(status.Conditions, cond)
}
