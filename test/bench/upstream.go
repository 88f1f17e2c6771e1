package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/local"
	"coracle.dev/coracle/internal/cluster/pki"
)

// upstream is upstream's own programs in a node like Coracle's.
type upstream struct{ dir, name, programs string }

// upstreamPrograms are the programs that the Makefile builds.
func upstreamPrograms() []string {
	return []string{
		"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "bridge", "host-local",
	}
}

const (
	podRange     = "10.42.0.0/16"
	nodePodRange = "10.42.0.0/24"
	serviceRange = "10.43.0.0/16"
	clusterDNS   = "10.43.0.10"
)

// Names in the node's data folder by which the node's side and this one find each other.
const (
	upstreamDir  = "upstream" // below the folder of programs
	preparedPipe = "prepared"
	goPipe       = "go"
)

func (s *upstream) title() string { return "upstream" }

// gather puts the programs where the node finds them.
func (s *upstream) gather(from string) error {
	to := filepath.Join((&config.Common{DataDir: s.dir}).ProgramsDir(), upstreamDir)
	if err := os.Mkdir(to, 0o755); err != nil {
		return fmt.Errorf("gathering upstream's programs: %w", err)
	}
	for _, name := range upstreamPrograms() {
		if err := linkOrCopy(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("gathering upstream's programs (built by make): %w", err)
		}
	}
	return nil
}

func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// start makes the node, lets it prepare, and times from the moment that its programs start.
func (s *upstream) start(ctx context.Context) (*cluster, time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, fmt.Errorf("finding this program: %w", err)
	}
	made, err := local.Up(ctx, local.Options{
		DataDir: s.dir, Name: s.name, Nodes: 1, Programs: s.programs, Binary: self, Content: s,
	})
	if err != nil {
		return nil, 0, err
	}
	node := s.nodeData()
	if err := receive(ctx, filepath.Join(node, preparedPipe)); err != nil {
		return nil, 0, fmt.Errorf("preparing the node: %w", err)
	}
	if err := s.writeKubeconfig(made); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if err := os.WriteFile(filepath.Join(node, goPipe), []byte{1}, 0); err != nil {
		return nil, 0, fmt.Errorf("starting the programs: %w", err)
	}
	late := fmt.Errorf("not ready after %s; see the logs in %s (with -keep they stay)", patience, node)
	waiting, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	if err := local.WaitReady(waiting, made, nil); err != nil {
		return nil, 0, err
	}
	took := time.Since(began)
	c, err := describe(ctx, s.dir, s.name)
	if err != nil {
		return nil, 0, err
	}
	c.ignored = []string{"coracle", "coracle-init node"}
	return c, took, nil
}

func (s *upstream) stop(ctx context.Context) error {
	_, err := local.Down(ctx, s.dir, s.name)
	return err
}

func (s *upstream) nodeData() string {
	return filepath.Join(s.dir, "clusters", s.name, "nodes", local.NodeName(1), "data")
}

// receive waits for the other side's byte.
func receive(ctx context.Context, pipe string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing heard for %s", patience))
	defer cancel()
	// Opening for both ways does not block, and the poller makes the read end with ctx.
	file, err := os.OpenFile(pipe, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	stop := context.AfterFunc(ctx, func() { file.Close() })
	defer stop()
	if _, err := file.Read(make([]byte, 1)); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

// Prepare implements local.Content: certificates and pipes, made on the machine.
func (s *upstream) Prepare(_ int, dataDir string) ([]string, error) {
	for _, name := range []string{preparedPipe, goPipe} {
		if err := unix.Mkfifo(filepath.Join(dataDir, name), 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("making a pipe: %w", err)
		}
	}
	dir := (&config.Common{DataDir: dataDir}).ServerPKIDir()
	files, err := pki.EnsureServer(pki.ServerSpec{
		Dir: dir, ServerURL: localURL(), Names: []string{local.NodeName(1)}, Addresses: []netip.Addr{local.NodeAddress(1)},
		ClusterDomain: "cluster.local", ServiceCIDR: netip.MustParsePrefix(serviceRange),
		NodeName: local.NodeName(1), NodeAddresses: []netip.Addr{local.NodeAddress(1)},
	}, time.Now())
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	if err := errors.Join(writeProxyKubeconfig(files, dir), writePublicKey(files, dir)); err != nil {
		return nil, err
	}
	return []string{"/usr/local/bin/coracle", nodeCommand}, nil
}

func localURL() string { return fmt.Sprintf("https://127.0.0.1:%d", config.DefaultSecurePort) }

// publicKeyFile holds what service account tokens are checked with.
const publicKeyFile = "service-account.pub"

func writePublicKey(files *pki.ServerFiles, dir string) error {
	der, err := x509.MarshalPKIXPublicKey(files.ServiceAccountKey.Public())
	if err != nil {
		return fmt.Errorf("encoding the service accounts' key: %w", err)
	}
	return pki.WriteFile(filepath.Join(dir, publicKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

const proxyUser = "system:kube-proxy"

func writeProxyKubeconfig(files *pki.ServerFiles, dir string) error {
	pair := pki.PairIn(dir, "kube-proxy")
	if _, err := files.CA.EnsureLeaf(pair, pki.Leaf{CommonName: proxyUser, Client: true}, false, time.Now()); err != nil {
		return fmt.Errorf("making the proxy's certificate: %w", err)
	}
	cert, errCert := os.ReadFile(pair.CertFile)
	key, errKey := os.ReadFile(pair.KeyFile)
	if err := errors.Join(errCert, errKey); err != nil {
		return fmt.Errorf("reading the proxy's certificate: %w", err)
	}
	return pki.WriteKubeconfig(filepath.Join(dir, "kube-proxy.kubeconfig"), pki.Kubeconfig{
		Cluster: "upstream", User: proxyUser, Server: localURL(), CA: files.CA.PEM(), Cert: cert, Key: key,
	})
}

// writeKubeconfig writes the administrator's kubeconfig for the machine, where Coracle's local clusters have theirs.
func (s *upstream) writeKubeconfig(made *local.Cluster) error {
	common := config.Common{DataDir: s.nodeData()}
	data, err := os.ReadFile(filepath.Join(common.ServerPKIDir(), "admin.kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	admin, err := pki.Retarget(data, s.name, made.Server)
	if err != nil {
		return err
	}
	return pki.WriteKubeconfig(made.Kubeconfig, admin)
}
