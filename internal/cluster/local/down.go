package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
)

// Down removes a cluster with all its data. One that is not there is no error; found tells whether there was one.
func Down(ctx context.Context, dataDir, name string) (found bool, err error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	p := clusterPaths(dataDir, name)
	if _, err := os.Stat(p.dir); missing(err) {
		return false, nil
	}
	lock, err := p.lockCluster()
	if err != nil {
		return true, err
	}
	defer lock.Close()
	s, err := p.load()
	if missing(err) {
		// The state is written before anything else is made.
		s, err = &state{Name: name}, nil
	}
	if err != nil {
		return true, err
	}
	return true, remove(ctx, p, s)
}

// remove ends all processes, then removes cgroups and files. Mounts, namespaces and network devices go with the processes.
func remove(ctx context.Context, p paths, s *state) error {
	if err := errors.Join(endNodes(ctx, s), s.Network.end(ctx, unix.SIGKILL)); err != nil {
		return err
	}
	hierarchies, err := cgroups.Machine()
	if err != nil {
		return err
	}
	if err := cgroups.Remove(ctx, hierarchies, "coracle/"+s.Name); err != nil {
		return err
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("removing the cluster's files: %w", err)
	}
	// The folder of clusters goes with the last one.
	_ = unix.Rmdir(filepath.Dir(p.dir))
	return nil
}

// endNodes ends the first process of every node, and with it all others in the node.
func endNodes(ctx context.Context, s *state) error {
	errs := make([]error, len(s.Nodes))
	var group sync.WaitGroup
	for i, n := range s.Nodes {
		group.Go(func() { errs[i] = n.Init.end(ctx, unix.SIGKILL) })
	}
	group.Wait()
	return errors.Join(errs...)
}
