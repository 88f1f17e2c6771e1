package namespace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Controller is the namespace controller.
type Controller struct{ empty reconcile.Port }

// New returns the controller. empty is its port, normally EmptyPort.
func New(empty reconcile.Port) *Controller { return &Controller{empty: empty} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "namespace-controller" }

// Ports implements reconcile.PortUser.
func (c *Controller) Ports() map[string]reconcile.Port {
	return map[string]reconcile.Port{portName: c.empty}
}

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{
			Resource: kinds.Namespaces(), Relevant: dying,
			Keys: func(_ reconcile.View, obj api.Object) []reconcile.Key { return []reconcile.Key{keyOf(obj.GetName())} },
		},
		{
			Every: true, Keys: keysOfContent, Relevant: func(api.Object, api.Object) bool { return false },
			Except: []schema.GroupResource{kinds.Events(), {Group: "events.k8s.io", Resource: "events"}},
		},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{
		{Resource: kinds.Namespaces(), Subresource: "status", Verbs: []client.Verb{client.Update}},
		{Resource: kinds.Namespaces(), Subresource: "finalize", Verbs: []client.Verb{client.Update}},
	}
}

func dying(_, obj api.Object) bool { return obj.GetDeletionTimestamp() != nil }

// keysOfContent wakes a dying namespace when an object in it comes or goes.
func keysOfContent(v reconcile.View, obj api.Object) []reconcile.Key {
	ns, ok := v.Get(kinds.Namespaces(), "", obj.GetNamespace())
	if !ok || ns.GetDeletionTimestamp() == nil {
		return nil
	}
	return []reconcile.Key{keyOf(ns.GetName())}
}

func keyOf(name string) reconcile.Key { return reconcile.Key{Resource: kinds.Namespaces(), Name: name} }

// ExtraRules implements reconcile.ExtraRules: what the port does.
func (*Controller) ExtraRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{
		APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"delete", "deletecollection", "get", "list"},
	}}
}

// Reconcile implements reconcile.Controller.
func (*Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	ns, ok := reconcile.Get[*corev1.Namespace](v, kinds.Namespaces(), "", key.Name)
	if !ok || ns.DeletionTimestamp == nil || !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return p, nil
	}
	answer, asked := v.Answer(portName, "")
	if !asked {
		p.Calls = append(p.Calls, reconcile.Call{Port: portName, Request: EmptyRequest{Namespace: ns.Name, UID: ns.UID}})
		return p, nil
	}
	report, ok := answer.Value.(Report)
	if !ok || answer.Err != nil {
		return p, fmt.Errorf("emptying namespace %s: %w", ns.Name, answer.Err)
	}
	if report.done() {
		finalized := ns.DeepCopy()
		finalized.Spec.Finalizers = slices.DeleteFunc(finalized.Spec.Finalizers, func(f corev1.FinalizerName) bool {
			return f == corev1.FinalizerKubernetes
		})
		w := reconcile.Updating(kinds.Namespaces(), finalized)
		w.Subresource = "finalize"
		p.Add(w)
		return p, nil
	}
	status := ns.DeepCopy()
	status.Status.Phase = corev1.NamespaceTerminating
	status.Status.Conditions = conditions(ns.Status.Conditions, report, v.Now())
	if !equality.Semantic.DeepEqual(ns.Status, status.Status) {
		p.Add(reconcile.UpdatingStatus(kinds.Namespaces(), status))
	}
	// What goes away wakes the key. The timer is for what does not tell, such as content that could not be deleted yet.
	p.Again(max(report.Estimate/2+time.Second, 15*time.Second))
	if len(report.Failures)+len(report.DiscoveryFailures) > 0 {
		p.Again(5 * time.Second)
	}
	return p, nil
}

// conditions replaces the deletion conditions by what the report says. Those that stay the same keep their time.
func conditions(old []corev1.NamespaceCondition, r Report, now time.Time) []corev1.NamespaceCondition {
	all := slices.Clone(old)
	set := func(t corev1.NamespaceConditionType, bad bool, badReason, badMessage, goodReason, goodMessage string) {
		c := corev1.NamespaceCondition{
			Type: t, Status: corev1.ConditionFalse, Reason: goodReason, Message: goodMessage,
			LastTransitionTime: metav1.NewTime(now),
		}
		if bad {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, badReason, badMessage
		}
		i := slices.IndexFunc(all, func(o corev1.NamespaceCondition) bool { return o.Type == t })
		if i < 0 {
			all = append(all, c)
			return
		}
		if all[i].Status == c.Status {
			c.LastTransitionTime = all[i].LastTransitionTime
		}
		all[i] = c
	}
	set(corev1.NamespaceDeletionDiscoveryFailure, len(r.DiscoveryFailures) > 0,
		"DiscoveryFailed", "Discovery failed for some groups: "+strings.Join(r.DiscoveryFailures, ", "),
		"ResourcesDiscovered", "All resources successfully discovered")
	set(corev1.NamespaceDeletionGVParsingFailure, false, "", "",
		"ParsedGroupVersions", "All legacy kube types successfully parsed")
	set(corev1.NamespaceDeletionContentFailure, len(r.Failures) > 0,
		"ContentDeletionFailed", fmt.Sprintf("Failed to delete all resource types, %d remaining: %s",
			len(r.Failures), strings.Join(r.Failures, ", ")),
		"ContentDeleted", "All content successfully deleted, may be waiting on finalization")
	set(corev1.NamespaceContentRemaining, len(r.Remaining) > 0,
		"SomeResourcesRemain", "Some resources are remaining: "+tally(r.Remaining, "%s has %d resource instances"),
		"ContentRemoved", "All content successfully removed")
	set(corev1.NamespaceFinalizersRemaining, len(r.Finalizers) > 0,
		"SomeFinalizersRemain",
		"Some content in the namespace has finalizers remaining: "+tally(r.Finalizers, "%s in %d resource instances"),
		"ContentHasNoFinalizers", "All content-preserving finalizers finished")
	return all
}

// tally lists names and counts, ordered by name.
func tally(counts map[string]int, format string) string {
	var parts []string
	for name, n := range counts {
		parts = append(parts, fmt.Sprintf(format, name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
