package garbagecollector_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/controllers/garbagecollector"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func TestOwnerPort(t *testing.T) {
	fake := clientfake.New(reconciletest.Catalogue(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cm", UID: "u-1"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "n-1"}})
	for name, tc := range map[string]struct {
		ref    metav1.OwnerReference
		absent bool
		fails  bool
	}{
		"there":             {metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "cm", UID: "u-1"}, false, false},
		"successor":         {metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "cm", UID: "u-0"}, true, false},
		"gone":              {metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "other", UID: "u-2"}, true, false},
		"cluster-scoped":    {metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "n-1"}, false, false},
		"kind not served":   {metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "Widget", Name: "w", UID: "u-3"}, false, true},
		"version not valid": {metav1.OwnerReference{APIVersion: "a/b/c", Kind: "Widget", Name: "w", UID: "u-4"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			request := garbagecollector.OwnerRequest{Namespace: "shop", Reference: tc.ref}
			answer, err := garbagecollector.OwnerPort{}.Call(context.Background(), fake, request)
			if (err != nil) != tc.fails {
				t.Fatalf("error %v", err)
			}
			if err == nil && answer != tc.absent {
				t.Errorf("absent %v, want %v", answer, tc.absent)
			}
		})
	}
}
