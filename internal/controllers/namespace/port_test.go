package namespace_test

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/controllers/namespace"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

func empty(t *testing.T, c client.Interface) namespace.Report {
	t.Helper()
	answer, err := namespace.EmptyPort{}.Call(context.Background(), c, namespace.EmptyRequest{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(namespace.Report)
}

func content() []api.Object {
	grace := int64(20)
	return []api.Object{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "plain"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "held", Finalizers: []string{"example.org/hold"}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "plain"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pod"},
			Spec:       corev1.PodSpec{NodeName: "n1", TerminationGracePeriodSeconds: &grace},
		},
	}
}

func TestEmptyPodsFirst(t *testing.T) {
	fake := clientfake.New(reconciletest.Catalogue(), content()...)
	r := empty(t, fake)
	if r.Remaining["pods"] != 1 || len(r.Remaining) != 1 || r.Estimate != 20*time.Second {
		t.Errorf("first: %+v", r)
	}
	if _, err := fake.Get(context.Background(), kinds.ConfigMaps(), "shop", "plain"); err != nil {
		t.Errorf("a config map went before the pods: %v", err)
	}
	fake.Remove(kinds.Pods(), "shop", "pod")
	r = empty(t, fake)
	if r.Remaining["configmaps"] != 1 || r.Finalizers["example.org/hold"] != 1 {
		t.Errorf("second: %+v", r)
	}
	fake.Remove(kinds.ConfigMaps(), "shop", "held")
	if r = empty(t, fake); len(r.Remaining)+len(r.Failures) != 0 {
		t.Errorf("third: %+v", r)
	}
	if _, err := fake.Get(context.Background(), kinds.ConfigMaps(), "other", "plain"); err != nil {
		t.Errorf("another namespace was touched: %v", err)
	}
}

func TestEmptyReportsFailures(t *testing.T) {
	fake := clientfake.New(reconciletest.Catalogue(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}})
	fake.Intercept(func(client.Write) (runtime.Object, bool, error) { return nil, true, errors.New("refused") })
	r := empty(t, fake)
	if len(r.Failures) != 1 || r.Remaining["configmaps"] != 1 {
		t.Errorf("%+v", r)
	}
}
