package clientfake

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

var pods = schema.GroupResource{Resource: "pods"}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}}}
}

func names(c client.Snapshot) []string {
	var all []string
	for o := range c.All("") {
		all = append(all, o.GetName())
	}
	return all
}

func TestWritesAndCaches(t *testing.T) {
	ctx := context.Background()
	c := New(nil, pod("a"))
	cache, err := c.Cache(client.Selection{Resource: pods})
	if err != nil {
		t.Fatal(err)
	}
	first, stream := cache.Follow()
	if got := names(first); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("preloaded: %v", got)
	}
	made, err := c.Write(ctx, client.Write{Verb: client.Create, Resource: pods, Namespace: "default", Object: pod("b")})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(cache.Snapshot()); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("after create: %v", got)
	}
	if got := names(first); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("an old snapshot changed: %v", got)
	}
	events, err := stream.Next(ctx)
	if err != nil || len(events) != 1 || events[0].Type != client.Added || events[0].Object.GetName() != "b" {
		t.Fatalf("events %v, %v", events, err)
	}
	_, err = c.Write(ctx, client.Write{Verb: client.Create, Resource: pods, Namespace: "default", Object: pod("b")})
	if !apierrors.IsAlreadyExists(err) {
		t.Fatalf("second create: %v", err)
	}
	stale := made.(*corev1.Pod).DeepCopy()
	patch := client.Write{
		Verb: client.Patch, Resource: pods, Namespace: "default", Name: "b",
		PatchType: types.MergePatchType, PatchData: []byte(`{"metadata":{"labels":{"x":"y"}}}`),
	}
	if _, err := c.Write(ctx, patch); err != nil {
		t.Fatal(err)
	}
	stale.Labels = map[string]string{"z": "z"}
	_, err = c.Write(ctx, client.Write{Verb: client.Update, Resource: pods, Object: stale})
	if !apierrors.IsConflict(err) {
		t.Fatalf("stale update: %v", err)
	}
	if _, err := c.Write(ctx, client.Write{Verb: client.Delete, Resource: pods, Namespace: "default", Name: "b"}); err != nil {
		t.Fatal(err)
	}
	events, err = stream.Next(ctx)
	if err != nil || len(events) != 1 || events[0].Type != client.Deleted {
		t.Fatalf("events %v, %v", events, err)
	}
}

func TestFinalizersHoldAnObject(t *testing.T) {
	ctx := context.Background()
	held := pod("a")
	held.Finalizers = []string{"x/y"}
	c := New(nil, held)
	del := client.Write{Verb: client.Delete, Resource: pods, Namespace: "default", Name: "a"}
	if _, err := c.Write(ctx, del); err != nil {
		t.Fatal(err)
	}
	obj, err := c.Get(ctx, pods, "default", "a")
	if err != nil || obj.GetDeletionTimestamp() == nil {
		t.Fatalf("a finalizer did not hold the object: %v", err)
	}
	free := obj.DeepCopyObject().(api.Object)
	free.SetFinalizers(nil)
	if _, err := c.Write(ctx, client.Write{Verb: client.Update, Resource: pods, Object: free}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, pods, "default", "a"); !apierrors.IsNotFound(err) {
		t.Fatalf("object outlived its last finalizer: %v", err)
	}
}

func TestPausedCacheLags(t *testing.T) {
	ctx := context.Background()
	c := New(nil)
	cache, err := c.Cache(client.Selection{Resource: pods})
	if err != nil {
		t.Fatal(err)
	}
	c.Pause(pods)
	if _, err := c.Write(ctx, client.Write{Verb: client.Create, Resource: pods, Object: pod("a")}); err != nil {
		t.Fatal(err)
	}
	if n := cache.Snapshot().Len(); n != 0 {
		t.Fatalf("a paused cache shows %d objects", n)
	}
	if _, err := c.Get(ctx, pods, "default", "a"); err != nil {
		t.Fatal(err)
	}
	c.Resume(pods)
	if err := cache.Sync(ctx); err != nil || cache.Snapshot().Len() != 1 {
		t.Fatalf("after resume: %v, %d objects", err, cache.Snapshot().Len())
	}
}

func TestSelectionNarrows(t *testing.T) {
	c := New(nil, pod("a"), pod("b"))
	cache, err := c.Cache(client.Selection{Resource: pods, LabelSelector: "app=b", MetadataOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(cache.Snapshot()); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("selected %v", got)
	}
	obj, _ := cache.Snapshot().Get("default", "b")
	if _, ok := obj.(*metav1.PartialObjectMetadata); !ok {
		t.Fatalf("metadata-only cache holds %T", obj)
	}
}
