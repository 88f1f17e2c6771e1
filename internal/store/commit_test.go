package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	testclock "k8s.io/utils/clock/testing"
)

func TestAmbiguous(t *testing.T) {
	lost := translateWrite(errors.New("connection lost"))
	for name, applied := range map[string]bool{"happened": true, "did not happen": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
				c := collect(t, s, pods)
				f.txnFault = func([]step) (bool, error) { return applied, lost }
				if _, err := s.Commit(t.Context(), create(pods+"x", "1")); !errors.Is(err, ErrAmbiguous) {
					t.Fatalf("got %v", err)
				}
				f.txnFault = nil
				if _, err := s.Current(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, found := c.Snapshot().Get(pods + "x"); found != applied {
					t.Errorf("found %v by a consistent read", found)
				}
			})
		})
	}
}

// TestUnseenCommit: a write whose event does not come in time has an unknown outcome for the caller.
func TestUnseenCommit(t *testing.T) {
	f := newFake()
	s, err := open(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	f.txnFault = func([]step) (bool, error) { stop(); return true, nil }
	_, err = s.Commit(ctx, create(pods+"x", "1"))
	if !errors.Is(err, ErrAmbiguous) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLeasesAreShared(t *testing.T) {
	clock := testclock.NewFakeClock(time.Unix(1000, 0))
	var granted []int64
	l := newLeases(func(_ context.Context, ttl int64) (int64, error) {
		granted = append(granted, ttl)
		return int64(len(granted)), nil
	}, clock.Now)
	take := func(ttl int64) int64 {
		id, err := l.take(t.Context(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	var got []int64
	got = append(got, take(3600), take(3600), take(10), take(3600))
	clock.Step(59 * time.Second)
	got = append(got, take(3600)) // a second of the minute is left
	clock.Step(2 * time.Second)
	got = append(got, take(3600))
	if want := []int64{1, 1, 2, 1, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("leases: got %v, want %v", got, want)
	}
	if want := []int64{3660, 70, 3660}; !slices.Equal(granted, want) {
		t.Errorf("granted: got %v, want %v", granted, want)
	}
	for range leaseKeys - 1 {
		take(3600)
	}
	if id := take(3600); id != 4 {
		t.Errorf("key %d got lease %d", leaseKeys+1, id)
	}
	clock.Step(24 * time.Hour)
	take(7)
	if len(l.byTTL) != 1 {
		t.Errorf("%d TTLs are remembered, all but one long over", len(l.byTTL))
	}
}

func TestLeaseFailure(t *testing.T) {
	l := newLeases(func(context.Context, int64) (int64, error) { return 0, errors.New("no") }, time.Now)
	if _, err := l.take(t.Context(), 1); err == nil {
		t.Error("a lease from nowhere")
	}
}

func TestLeaseGone(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, f *fake) {
		op := Op{Kind: OpPut, Key: pods + "x", Value: []byte("1"), TTL: 60}
		commit(t, s, op)
		f.leases[1] = false // as after a restore
		commit(t, s, op)
		if len(f.granted) != 2 {
			t.Errorf("granted %v", f.granted)
		}
	})
}

// TestTTL: the key is bound to a lease that lasts long enough, and goes when the lease does.
func TestTTL(t *testing.T) {
	s := openReal(t, Options{SoleWriter: true})
	c := collect(t, s, pods)
	at := commit(t, s, Op{Kind: OpCreate, Key: pods + "x", Value: []byte("1"), TTL: 3600})
	client := s.backend.(measured).backend.(*etcdClient).client
	r, err := client.Get(t.Context(), pods+"x")
	if err != nil {
		t.Fatal(err)
	}
	lease := clientv3.LeaseID(r.Kvs[0].Lease)
	left, err := client.TimeToLive(t.Context(), lease)
	if err != nil || left.GrantedTTL != 3660 {
		t.Fatalf("lease %v: %v", left, err)
	}
	stream, err := c.Follow(t.Context(), pods, at)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := client.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if got := showEvents(next(t, stream)); got != "D /registry/pods/x=1@3" {
		t.Errorf("got %s", got)
	}
	// The store learns by the write that the lease is gone.
	commit(t, s, Op{Kind: OpCreate, Key: pods + "y", Value: []byte("1"), TTL: 3600})
}

func TestErrorsNameTheKey(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		_, err := s.Commit(t.Context(), Op{Kind: OpUpdate, Key: pods + "x", Expect: 5})
		if err == nil || !strings.Contains(err.Error(), pods+"x") {
			t.Errorf("got %v", err)
		}
	})
}
