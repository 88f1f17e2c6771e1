package apiserver_test

import (
	"context"
	"testing"

	"coracle.dev/coracle/internal/apiserver/servertest"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clienttest"
	"coracle.dev/coracle/internal/client/remote"
)

func TestLocalClient(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Interface {
		t.Helper()
		return servertest.Start(t, servertest.Config(t)).Admin()
	})
}

func TestRemoteClient(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Interface {
		t.Helper()
		server := servertest.Start(t, servertest.Config(t))
		return remoteClient(t, server)
	})
}

// remoteClient is a running client of a server.
func remoteClient(t *testing.T, server *servertest.Running) *remote.Client {
	t.Helper()
	c, err := remote.New(remote.Config{
		URL: server.URL, CA: server.CA, Catalogue: server.Catalogue(), UserAgent: "remote-test/1",
	})
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
