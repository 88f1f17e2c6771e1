package chain

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
)

func TestPlanDelete(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) *metav1.Time {
		return new(metav1.NewTime(now.Add(time.Duration(seconds) * time.Second)))
	}
	graceful := &api.Strategy{GracePeriod: func(_ api.Object, asked *int64) int64 {
		if asked != nil {
			return *asked
		}
		return 30
	}}
	plain := &api.Strategy{}
	policy := func(p metav1.DeletionPropagation) metav1.DeleteOptions {
		return metav1.DeleteOptions{PropagationPolicy: &p}
	}
	pod := func(change func(*corev1.Pod)) api.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 3}}
		if change != nil {
			change(p)
		}
		return p
	}
	for _, c := range []struct {
		name       string
		strategy   *api.Strategy
		obj        api.Object
		opts       metav1.DeleteOptions
		want       deletion
		deleted    *metav1.Time
		grace      int64
		generation int64
		finalizers []string
	}{
		{name: "at once", strategy: plain, obj: pod(nil), want: deleteNow},
		{
			name: "with finalizers", strategy: plain, obj: pod(func(p *corev1.Pod) { p.Finalizers = []string{"x/y"} }),
			want: deleteLater, deleted: at(0), generation: 4, finalizers: []string{"x/y"},
		},
		{
			name: "foreground", strategy: plain, obj: pod(nil), opts: policy(metav1.DeletePropagationForeground),
			want: deleteLater, deleted: at(0), generation: 4, finalizers: []string{metav1.FinalizerDeleteDependents},
		},
		{
			name: "orphan", strategy: plain, obj: pod(nil), opts: policy(metav1.DeletePropagationOrphan),
			want: deleteLater, deleted: at(0), generation: 4, finalizers: []string{metav1.FinalizerOrphanDependents},
		},
		{
			name: "background takes orphaning back", strategy: plain,
			obj:  pod(func(p *corev1.Pod) { p.Finalizers = []string{metav1.FinalizerOrphanDependents} }),
			opts: policy(metav1.DeletePropagationBackground), want: deleteNow,
		},
		{
			name: "kinds that orphan by default", strategy: &api.Strategy{OrphanByDefault: true}, obj: pod(nil),
			want: deleteLater, deleted: at(0), generation: 4, finalizers: []string{metav1.FinalizerOrphanDependents},
		},
		{
			name: "kinds without garbage collection", strategy: &api.Strategy{NoGarbageCollection: true}, obj: pod(nil),
			opts: policy(metav1.DeletePropagationForeground), want: deleteNow,
		},
		{
			name: "gracefully", strategy: graceful, obj: pod(nil),
			want: deleteLater, deleted: at(30), grace: 30, generation: 4,
		},
		{
			name: "gracefully, asked", strategy: graceful, obj: pod(nil), opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(5))},
			want: deleteLater, deleted: at(5), grace: 5, generation: 4,
		},
		{
			name: "negative grace means one second", strategy: graceful, obj: pod(nil),
			opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(-3))},
			want: deleteLater, deleted: at(1), grace: 1, generation: 4,
		},
		{
			name: "no grace", strategy: graceful, obj: pod(nil), opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
			want: deleteNow,
		},
		{
			name: "no grace, with finalizers", strategy: graceful,
			obj:  pod(func(p *corev1.Pod) { p.Finalizers = []string{"x/y"} }),
			opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
			want: deleteLater, deleted: at(0), generation: 4, finalizers: []string{"x/y"},
		},
		{
			name: "again", strategy: graceful, want: alreadyMarked, deleted: at(20), grace: 30, generation: 3,
			obj: pod(func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = at(20), new(int64(30)) }),
		},
		{
			name: "again, longer", strategy: graceful, opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(60))},
			want: alreadyMarked, deleted: at(20), grace: 30, generation: 3,
			obj: pod(func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = at(20), new(int64(30)) }),
		},
		{
			name: "again, shorter", strategy: graceful, opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(15))},
			want: deleteLater, deleted: at(5), grace: 15, generation: 3,
			obj: pod(func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = at(20), new(int64(30)) }),
		},
		{
			name: "again, shorter than what has passed", strategy: graceful,
			opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(5))},
			want: deleteLater, deleted: at(0), grace: 1, generation: 3,
			obj: pod(func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = at(20), new(int64(30)) }),
		},
		{
			name: "the kubelet's last word", strategy: graceful, opts: metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
			want: deleteNow,
			obj:  pod(func(p *corev1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = at(20), new(int64(30)) }),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := planDelete(c.strategy, c.obj, &c.opts, now)
			if got != c.want {
				t.Fatalf("got %d, want %d", got, c.want)
			}
			if got == deleteNow {
				return
			}
			grace := c.obj.GetDeletionGracePeriodSeconds()
			if d := c.obj.GetDeletionTimestamp(); !d.Equal(c.deleted) || grace == nil || *grace != c.grace {
				t.Errorf("deleted at %v in %v, want %v in %d", d, grace, c.deleted, c.grace)
			}
			if c.obj.GetGeneration() != c.generation || !slices.Equal(c.obj.GetFinalizers(), c.finalizers) {
				t.Errorf("generation %d, finalizers %v", c.obj.GetGeneration(), c.obj.GetFinalizers())
			}
		})
	}
}

func TestPlanNamespaceDelete(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	ns := &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}}}
	s := &api.Strategy{}
	if got := planDelete(s, ns, &metav1.DeleteOptions{}, now); got != deleteLater {
		t.Fatalf("first delete: %d", got)
	}
	if ns.Status.Phase != corev1.NamespaceTerminating || ns.DeletionTimestamp == nil {
		t.Errorf("not terminating: %+v", ns)
	}
	if got := planDelete(s, ns, &metav1.DeleteOptions{}, now); got != alreadyMarked {
		t.Errorf("with content: %d", got)
	}
	ns.Spec.Finalizers = nil
	if got := planDelete(s, ns, &metav1.DeleteOptions{}, now); got != deleteNow {
		t.Errorf("emptied: %d", got)
	}
}
