package services

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/network/nettest"
)

func service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func slice(name, of string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: of},
	}}
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c := nettest.NewClient()
		svcs, eps := c.Of("services"), c.Of("endpointslices.discovery.k8s.io")
		svcs.Put(service("old"))
		f, err := NewFeed(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(ctx); err != nil {
			t.Fatal(err)
		}
		want := func(keys ...string) {
			t.Helper()
			synctest.Wait()
			if len(keys) > 0 {
				<-f.Changed()
			}
			if got := slices.Sorted(maps.Keys(f.Take())); !slices.Equal(got, keys) {
				t.Errorf("got %v, want %v", got, keys)
			}
		}
		want("default/old")
		svcs.Put(service("a"), service("b"))
		svcs.Put(service("a"))
		eps.Put(slice("a-1", "a"))
		want("default/a", "default/b")
		eps.Put(slice("a-1", "b")) // moved: both changed
		want("default/a", "default/b")
		svcs.Delete(service("b"))
		want("default/b")
		want()
		svc, own := f.Read("default/b")
		if svc != nil || own != nil {
			t.Errorf("a deleted service: %v %v", svc, own)
		}
		if svc, own = f.Read("default/a"); svc == nil || len(own) != 0 {
			t.Errorf("got %v %v", svc, own)
		}
		eps.Put(slice("a-2", "a"), slice("a-3", "a"))
		synctest.Wait()
		if _, own = f.Read("default/a"); fmt.Sprintf("%d %s", len(own), own[0].Name) != "2 a-2" {
			t.Errorf("got %v", own)
		}
	})
}
