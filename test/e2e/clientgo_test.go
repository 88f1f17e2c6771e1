package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

// happening is what an informer told.
type happening struct{ kind, name, value string }

// TestInformers runs client-go's shared informers and typed clients as a controller would.
func TestInformers(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	factory := informers.NewSharedInformerFactoryWithOptions(s, 0, informers.WithNamespace(s.ns))
	told := make(chan happening, 100)
	informer := factory.Core().V1().ConfigMaps()
	tell := func(kind string, o any) {
		if cm, ok := o.(*corev1.ConfigMap); ok && cm.Labels["mine"] == "yes" {
			told <- happening{kind, cm.Name, cm.Data["v"]}
		}
	}
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { tell("add", o) }, UpdateFunc: func(_, o any) { tell("update", o) },
		DeleteFunc: func(o any) { tell("delete", o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	deployments, pods := factory.Apps().V1().Deployments().Lister(), factory.Core().V1().Pods().Lister()
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			t.Fatalf("no list of %s", kind)
		}
	}
	expect := func(want happening) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Errorf("told %v, want %v", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("waiting for %v: it was not told", want)
		}
	}
	client := s.CoreV1().ConfigMaps(s.ns)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-", Labels: map[string]string{"mine": "yes"}}}
	if cm, err = client.Create(ctx, cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(happening{"add", cm.Name, ""})
	if _, err := client.Apply(ctx, corev1apply.ConfigMap(cm.Name, s.ns).WithData(map[string]string{"v": "applied"}),
		metav1.ApplyOptions{FieldManager: "e2e"}); err != nil {
		t.Fatal(err)
	}
	expect(happening{"update", cm.Name, "applied"})
	cm.Data = map[string]string{"v": "stale"}
	if _, err := client.Update(ctx, cm, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v", err)
	}
	if _, err := client.Patch(ctx, cm.Name, types.MergePatchType, []byte(`{"data":{"v":"patched"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(happening{"update", cm.Name, "patched"})
	if err := client.Delete(ctx, cm.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(happening{"delete", cm.Name, "patched"})

	s.apply("web.yaml", "APP=web", "REPLICAS=2", "TOLERATED=300")
	s.running("web", 2)
	until(s, "an available deployment", s.AppsV1().RESTClient(), "deployments", func(list []*appsv1.Deployment) bool {
		return len(list) == 1 && list[0].Status.AvailableReplicas == 2
	})
	if d, err := deployments.Deployments(s.ns).Get("web"); err != nil || d.Name != "web" {
		t.Errorf("the lister has %v, error %v", d, err)
	}
	if list, err := pods.Pods(s.ns).List(labels.SelectorFromSet(labels.Set{"app": "web"})); err != nil || len(list) != 2 {
		t.Errorf("the lister has %d pods, error %v", len(list), err)
	}
}

// TestPages lists in pieces, and counts up one object from many sides at once.
func TestPages(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	client := s.CoreV1().ConfigMaps(s.ns)
	const count = 25
	for range count {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Labels: map[string]string{"page": "yes"}}}
		if _, err := client.Create(s.ctx, cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	options := metav1.ListOptions{Limit: 10, LabelSelector: "page=yes"}
	for {
		list, err := client.List(s.ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) > 10 {
			t.Errorf("a page of %d", len(list.Items))
		}
		for _, item := range list.Items {
			seen[item.Name] = true
		}
		if options.Continue = list.Continue; options.Continue == "" {
			break
		}
	}
	if len(seen) != count {
		t.Errorf("the pages hold %d objects, want %d", len(seen), count)
	}

	resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	dyn, err := dynamic.NewForConfig(s.config)
	if err != nil {
		t.Fatal(err)
	}
	counter := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "counter"}, "data": map[string]any{"n": ""},
	}}
	if _, err := dyn.Resource(resource).Namespace(s.ns).Create(s.ctx, counter, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	backoff := retry.DefaultRetry
	backoff.Steps = 1000
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			for range 5 {
				err := retry.RetryOnConflict(backoff, func() error {
					cm, err := client.Get(s.ctx, "counter", metav1.GetOptions{})
					if err != nil {
						return err
					}
					cm.Data["n"] += "x"
					_, err = client.Update(s.ctx, cm, metav1.UpdateOptions{})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if cm, err := client.Get(s.ctx, "counter", metav1.GetOptions{}); err != nil || len(cm.Data["n"]) != 25 {
		t.Errorf("25 additions made %v, error %v", cm.Data, err)
	}
}

// TestLeaders lets two candidates elect a leader, and the second take over when the first lets go.
func TestLeaders(t *testing.T) {
	s := newSpace(t)
	t.Parallel()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	leading := make(chan string)
	run := func(ctx context.Context, id string) chan struct{} {
		lock := &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "leader"}, Client: s.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: id},
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
				Lock: lock, ReleaseOnCancel: true,
				LeaseDuration: 30 * time.Second, RenewDeadline: 20 * time.Second, RetryPeriod: 200 * time.Millisecond,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) { leading <- id },
					OnStoppedLeading: func() {},
				},
			})
		}()
		return ended
	}
	next := func() string {
		t.Helper()
		select {
		case id := <-leading:
			return id
		case <-ctx.Done():
			t.Fatal("waiting for a leader: there is none")
			return ""
		}
	}
	first, stopFirst := context.WithCancel(ctx)
	defer stopFirst()
	firstEnded := run(first, "first")
	if id := next(); id != "first" {
		t.Fatalf("%s leads", id)
	}
	second, stopSecond := context.WithCancel(ctx)
	defer stopSecond()
	secondEnded := run(second, "second")
	stopFirst()
	<-firstEnded
	if id := next(); id != "second" {
		t.Fatalf("%s leads", id)
	}
	stopSecond()
	<-secondEnded
}
