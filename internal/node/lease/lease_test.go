package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
)

func TestKeeperRenewsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(catalogue(t))
		k := &Keeper{
			Client: fake, Node: "n1", UID: func() types.UID { return "node-uid" }, Now: time.Now,
			Duration: 40 * time.Second, Every: 10 * time.Second, Retry: 200 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()

		read := func() *coordinationv1.Lease {
			gr := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
			lease, err := client.Get[*coordinationv1.Lease](t.Context(), fake, gr, Namespace, "n1")
			if err != nil {
				t.Fatal(err)
			}
			return lease
		}
		synctest.Wait()
		first := read()
		if *first.Spec.LeaseDurationSeconds != 40 || first.OwnerReferences[0].UID != "node-uid" {
			t.Errorf("got %+v", first)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := read().Spec.RenewTime.Sub(first.Spec.RenewTime.Time); got != 10*time.Second {
			t.Errorf("renewed after %v", got)
		}

		var down atomic.Bool
		down.Store(true)
		fake.Intercept(func(client.Write) (runtime.Object, bool, error) {
			if down.Load() {
				return nil, true, errors.New("no server")
			}
			return nil, false, nil
		})
		time.Sleep(12 * time.Second)
		down.Store(false)
		back := time.Now()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !read().Spec.RenewTime.After(back) {
			t.Error("not renewed soon after the server came back")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func catalogue(t *testing.T) *api.Catalogue {
	c, err := clientfake.Catalogue().With(&api.Resource{
		Group: "coordination.k8s.io", Plural: "leases", Singular: "lease", Kind: "Lease", ListKind: "LeaseList", Namespaced: true,
		StoredVersion: "v1",
		Versions: []api.Version{{
			Name: "v1", New: func() runtime.Object { return &coordinationv1.Lease{} },
			NewList: func() runtime.Object { return &coordinationv1.LeaseList{} },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
