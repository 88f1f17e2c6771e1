package store

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// outside starts an etcd that serves TLS on loopback and returns its URL and what stops it.
func outside(t *testing.T, files TLSFiles) (string, func()) {
	t.Helper()
	c := embeddedConfig(Options{DataDir: t.TempDir(), Heartbeat: 5 * time.Millisecond}.withDefaults())
	c.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	c.AdvertiseClientUrls = c.ListenClientUrls
	c.ClientTLSInfo = transport.TLSInfo{
		CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA, ClientCertAuth: true,
	}
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(server.Close)
	t.Cleanup(stop)
	<-server.Server.ReadyNotify()
	return "https://" + server.Clients[0].Addr().String(), stop
}

// certificate makes a certificate that is its own authority.
func certificate(t *testing.T) TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := write("cert.pem", "CERTIFICATE", der)
	return TLSFiles{CA: cert, Cert: cert, Key: write("key.pem", "PRIVATE KEY", keyDER)}
}

// TestOutsideEtcd has two servers share one etcd over TLS.
func TestOutsideEtcd(t *testing.T) {
	files := certificate(t)
	endpoint, stopServer := outside(t, files)
	var stores []*Etcd
	for range 2 {
		s, err := Open(t.Context(), Options{Endpoints: []string{endpoint}, TLS: files})
		stores = append(stores, start(t, s, err))
	}
	first, second := collect(t, stores[0], pods), collect(t, stores[1], pods)
	stream, err := second.Follow(t.Context(), pods, stores[1].Revision())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	at := commit(t, stores[0], create(pods+"x", "l:1"))
	if revision, err := stores[1].Current(t.Context()); err != nil || revision < at {
		t.Fatalf("the other's consistent read: %d, %v", revision, err)
	}
	if got, want := show(second.Snapshot(), pods, ""), show(first.Snapshot(), pods, ""); got != want || got == "" {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := showEvents(next(t, stream)); got != "C /registry/pods/x=l:1@2" {
		t.Errorf("got %s", got)
	}
	if _, err := stores[1].Commit(t.Context(), create(pods+"x", "2")); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	big := Op{Kind: OpPut, Key: pods + "big", Value: bytes.Repeat([]byte("x"), 3<<20)}
	commit(t, stores[1], big)
	if err := stores[0].WaitFor(t.Context(), stores[1].Revision()); err != nil {
		t.Error(err)
	}

	// A revision outside the prefix must not stall consistent reads.
	client := stores[0].backend.(measured).backend.(*etcdClient).client
	put, err := client.Put(t.Context(), "/elsewhere", "1")
	if err != nil {
		t.Fatal(err)
	}
	if revision, err := stores[0].Current(t.Context()); err != nil || revision < put.Header.Revision {
		t.Errorf("current after a write elsewhere: %d, %v, want %d", revision, err, put.Header.Revision)
	}

	// With etcd gone a write's outcome is unknown, and a read says so.
	stopServer()
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := stores[0].Commit(ctx, create(pods+"y", "1")); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("commit without etcd: %v", err)
	}
	if _, err := stores[0].Current(ctx); err == nil {
		t.Error("consistent read without etcd")
	}
}

func TestOpenFailures(t *testing.T) {
	ended, stop := context.WithCancel(t.Context())
	stop()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		ctx context.Context
		o   Options
	}{
		"no folder":         {t.Context(), Options{}},
		"folder is a file":  {t.Context(), Options{DataDir: file}},
		"no TLS files":      {t.Context(), Options{Endpoints: []string{"https://127.0.0.1:1"}, TLS: TLSFiles{CA: "/nowhere"}}},
		"ended context":     {ended, Options{DataDir: t.TempDir()}},
		"nobody at the end": {ended, Options{Endpoints: []string{"http://127.0.0.1:1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Open(test.ctx, test.o); err == nil {
				_ = s.Close()
				t.Error("opened")
			}
		})
	}
}

func TestCollectionSpecs(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Etcd, _ *fake) {
		first := collect(t, s, pods)
		commit(t, s, create(pods+"x", "1"))
		if again := collect(t, s, pods); again.Snapshot().Len(pods) != 1 || first.Snapshot().Len(pods) != 1 {
			t.Error("registering again lost the content")
		}
		for name, spec := range map[string]CollectionSpec{
			"outside":  testSpec("/elsewhere/"),
			"root":     testSpec("/registry/"),
			"no slash": testSpec("/registry/po"),
			"inside":   testSpec(pods + "a/"),
			"no codec": {Prefix: "/registry/new/"},
		} {
			if _, err := s.Collection(t.Context(), spec); err == nil {
				t.Errorf("%s: registered", name)
			}
		}
		if _, err := first.Follow(t.Context(), "/registry/other/", s.Revision()); err == nil {
			t.Error("followed what is not in the collection")
		}
	})
}

// TestLogBridge checks that etcd's warnings, and nothing less, reach slog with their fields.
func TestLogBridge(t *testing.T) {
	var out strings.Builder
	log := zapLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), "harmless")
	sugar := log.Sugar().With("member", "m1")
	sugar.Infow("chatter", "n", 1)
	sugar.Warnw("slow", "took", time.Second)
	sugar.Errorw("harmless")
	sugar.Errorw("broken", "error", errors.New("disk"))
	got := out.String()
	for _, want := range []string{
		"level=WARN msg=slow", "took=1s", "member=m1", "component=etcd", "level=ERROR msg=broken", "error=disk",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
	if strings.Contains(got, "chatter") || strings.Contains(got, "harmless") {
		t.Errorf("too much in %s", got)
	}
}
