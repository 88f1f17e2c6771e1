package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/network/cni"
	"coracle.dev/coracle/internal/network/overlay"
)

// confName sorts before what other plugins usually leave.
const confName = "05-coracle.conflist"

// confWriter keeps the runtime's network configuration in step with the node's pod ranges. The runtime reports its network as
// ready once the file is there, and the node becomes Ready by that.
type confWriter struct {
	n     *Network
	nodes client.Cache
}

func newConfWriter(n *Network) (*confWriter, error) {
	// All nodes, because the overlay wants them too and equal selections share a cache.
	nodes, err := n.conf.Client.Cache(client.Selection{Resource: kinds.Nodes()})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	return &confWriter{n: n, nodes: nodes}, nil
}

func (w *confWriter) run(ctx context.Context) error {
	for _, ready := range w.n.ready {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
		}
	}
	_, stream := w.nodes.Follow()
	defer stream.Close()
	if err := w.nodes.Sync(ctx); err != nil {
		return fmt.Errorf("reading nodes: %w", err)
	}
	for {
		if err := w.update(); err != nil {
			return err
		}
		for mine := false; !mine; {
			events, err := stream.Next(ctx)
			if err != nil {
				return err
			}
			for _, e := range events {
				mine = mine || e.Object.GetName() == w.n.conf.NodeName
			}
		}
	}
}

// update writes the file when its content changes, so that the runtime does not load it for nothing. A node without a range, one
// that was registered anew, has no file. While there is no node object the file of an earlier run stays.
func (w *confWriter) update() error {
	obj, ok := w.nodes.Snapshot().Get("", w.n.conf.NodeName)
	node, isNode := obj.(*corev1.Node)
	if !ok || !isNode {
		return nil
	}
	c := w.n.conf
	path := filepath.Join(c.CNIConfDir, confName)
	ranges := overlay.PodCIDRs(node)
	if len(ranges) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the network configuration: %w", err)
		}
		return nil
	}
	mtu := c.MTU
	if mtu == 0 {
		var err error
		if mtu, err = overlay.PodMTU(c.Mode, c.NodeIPs); err != nil {
			return err
		}
	}
	content, err := cni.Conflist(cni.Settings{Ranges: ranges, StateDir: c.StateDir, MTU: mtu, NodeIPs: c.NodeIPs})
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, content) {
		if err := replaceFile(path, content); err != nil {
			return fmt.Errorf("writing the network configuration: %w", err)
		}
		c.Logger.Info("pods can be connected", "ranges", ranges, "mtu", mtu, "file", path)
	}
	w.n.once.Do(func() { close(w.n.done) })
	return nil
}

// replaceFile writes a file so that readers see the old content or the new one.
func replaceFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".coracle-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already after the rename
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
