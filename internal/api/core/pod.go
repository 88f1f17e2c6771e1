package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func pod() *api.Resource {
	return meta.Entry[*corev1.Pod]{
		Version: "v1", Kind: "Pod", Plural: "pods",
		Short:               []string{"po"},
		Categories:          []string{"all"},
		Namespaced:          true,
		New:                 meta.New[corev1.Pod],
		NewList:             meta.Empty[corev1.PodList],
		Path:                "pods",
		Subresources:        podSubresources(),
		Default:             defaultPod,
		PrepareCreate:       preparePod,
		PrepareUpdate:       preparePodUpdate,
		PrepareStatus:       preparePodStatus,
		Stamp:               stampPod,
		GracePeriod:         podGracePeriod,
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns:             podColumns(),
		Row:                 podRow,
		RowConditions:       podRowConditions,
		Fields:              podFields,
		Indexes: map[string]func(*corev1.Pod) []string{
			api.IndexNode: func(p *corev1.Pod) []string { return []string{p.Spec.NodeName} },
		},
		Validate:       validatePod,
		ValidateUpdate: validatePodUpdate,
		ValidateStatus: validatePodStatus,
		Warnings:       warnPod,
	}.Resource()
}

func podSubresources() []api.Subresource {
	gvk := func(kind string) schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind(kind) }
	return []api.Subresource{
		meta.Status(gvk("Pod"), meta.Empty[corev1.Pod], "spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
		meta.Stream("attach", gvk("PodAttachOptions"), "create", "get"),
		{Name: "binding", GVK: gvk("Binding"), New: meta.Empty[corev1.Binding], Verbs: []string{"create"}},
		{
			Name: "ephemeralcontainers", GVK: gvk("Pod"), New: meta.Empty[corev1.Pod], Verbs: meta.WriteVerbs(),
			PrepareUpdate:  meta.Update(preparePodEphemeral),
			ValidateUpdate: meta.ValidateUpdate(true, validateEphemeralUpdate),
		},
		{
			Name: "eviction", GVK: policyv1.SchemeGroupVersion.WithKind("Eviction"), New: meta.Empty[policyv1.Eviction],
			Verbs: []string{"create"},
		},
		meta.Stream("exec", gvk("PodExecOptions"), "create", "get"),
		meta.Stream("log", gvk("Pod"), "get"),
		meta.Stream("portforward", gvk("PodPortForwardOptions"), "create", "get"),
		meta.Stream("proxy", gvk("PodProxyOptions"), meta.ProxyVerbs()...),
		{
			Name: "resize", GVK: gvk("Pod"), New: meta.Empty[corev1.Pod], Verbs: meta.WriteVerbs(),
			PrepareUpdate:  meta.Update(preparePodResize),
			ValidateUpdate: meta.ValidateUpdate(true, validatePodResize),
		},
	}
}

func podFields(p *corev1.Pod) fields.Set {
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return fields.Set{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.host":                p.Spec.NodeName, // the field's first name
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             ip,
		"status.podIPs":            ip,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}

// podGracePeriod lets a pod end at once when no node runs it or it has ended already; a negative grace means one second.
func podGracePeriod(p *corev1.Pod, asked *int64) int64 {
	var grace int64
	switch {
	case asked != nil:
		grace = *asked
	case p.Spec.TerminationGracePeriodSeconds != nil:
		grace = *p.Spec.TerminationGracePeriodSeconds
	}
	if p.Spec.NodeName == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return 0
	}
	if grace < 0 {
		return 1
	}
	return grace
}
