package apiserver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/apiserver/servertest"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clienttest"
	"coracle.dev/coracle/internal/client/remote"
	"coracle.dev/coracle/internal/store"
	"coracle.dev/coracle/internal/store/storetest"
)

func TestLocalClient(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Interface {
		t.Helper()
		return servertest.Start(t, servertest.Config(t)).Admin()
	})
}

// TestLocalClientFallsBehind runs the suite with so little history that followers have to compare states.
func TestLocalClientFallsBehind(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Interface {
		t.Helper()
		s := storetest.OpenWith(t, store.Options{SoleWriter: true, HistoryEvents: 7})
		return servertest.Start(t, servertest.ConfigWith(t, s)).Admin()
	})
}

func TestRemoteClient(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Interface {
		t.Helper()
		server := servertest.Start(t, servertest.Config(t))
		return remoteClient(t, server)
	})
}

// TestRemoteClientReconnects cuts all connections under a cache, and then all history.
func TestRemoteClientReconnects(t *testing.T) {
	s := storetest.OpenWith(t, store.Options{SoleWriter: true, HistoryEvents: 5})
	server := servertest.Start(t, servertest.ConfigWith(t, s))
	var mu sync.Mutex
	var conns []net.Conn
	down := false
	c := remoteClient(t, server, func(cfg *remote.Config) {
		cfg.Jitter = func() float64 { return 0 }
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return nil, errors.New("the network is down")
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			conns = append(conns, conn)
			return conn, err
		}
	})
	cut := func(stay bool) {
		mu.Lock()
		defer mu.Unlock()
		down = stay
		for _, conn := range conns {
			_ = conn.Close()
		}
		conns = nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	gr := schema.GroupResource{Resource: "configmaps"}
	cache, err := c.Cache(client.Selection{Resource: gr})
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.Sync(ctx); err != nil {
		t.Fatalf("sync: %v", err)
	}
	_, stream := cache.Follow()
	defer stream.Close()
	create := func(name string) {
		t.Helper()
		_, err := server.Admin().Write(ctx, client.Write{
			Verb: client.Create, Resource: gr, Namespace: "default", Object: configMap(name, nil),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	await := func(n int) {
		t.Helper()
		for seen < n {
			events, err := stream.Next(ctx)
			if err != nil {
				t.Fatalf("saw %d of %d: %v", seen, n, err)
			}
			seen += len(events)
		}
		if seen != n || cache.Snapshot().Len() != n {
			t.Fatalf("saw %d, has %d, want %d", seen, cache.Snapshot().Len(), n)
		}
	}
	create("before")
	await(1)
	cut(false)
	create("after")
	await(2)
	cut(true)
	for i := range 20 {
		create(fmt.Sprintf("meanwhile-%d", i))
	}
	cut(false)
	await(22)
}

// remoteClient is a running client of a server.
func remoteClient(t *testing.T, server *servertest.Running, change ...func(*remote.Config)) *remote.Client {
	t.Helper()
	cfg := remote.Config{
		URL: server.URL, CA: server.CA, Catalogue: server.Catalogue(), UserAgent: "remote-test/1",
		Clock: clock.RealClock{}, Jitter: rand.Float64,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := remote.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("running the client: %v", err)
		}
	})
	return c
}
