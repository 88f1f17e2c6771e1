package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/meta"
)

func resourceQuota() *api.Resource {
	return meta.Entry[*corev1.ResourceQuota]{
		Version: "v1", Kind: "ResourceQuota", Plural: "resourcequotas",
		Short:      []string{"quota"},
		Namespaced: true,
		New:        meta.New[corev1.ResourceQuota],
		NewList:    meta.Empty[corev1.ResourceQuotaList],
		Path:       "resourcequotas",
		Subresources: []api.Subresource{
			meta.Status(corev1.SchemeGroupVersion.WithKind("ResourceQuota"), meta.Empty[corev1.ResourceQuota]),
		},
		Default: func(q *corev1.ResourceQuota) {
			roundUp(q.Spec.Hard)
			roundUp(q.Status.Hard)
			roundUp(q.Status.Used)
		},
		PrepareCreate:       func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} },
		PrepareUpdate:       func(q, old *corev1.ResourceQuota) { q.Status = old.Status },
		PrepareStatus:       func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec },
		UnconditionalUpdate: true,
		ReturnDeleted:       true,
		Columns: []metav1.TableColumnDefinition{
			meta.NameColumn(),
			meta.Column("Request", "What is used and what may be used of requests and counts."),
			meta.Column("Limit", "What is used and what may be used of limits."),
			meta.AgeColumn(),
		},
		Row:            resourceQuotaRow,
		Validate:       validateQuota,
		ValidateUpdate: validateQuotaUpdate,
		ValidateStatus: validateQuotaStatus,
		Warnings:       warnQuota,
	}.Resource()
}

func resourceQuotaRow(q *corev1.ResourceQuota, now time.Time) []any {
	var requests, limits []string
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), meta.Age(q, now)}
}
