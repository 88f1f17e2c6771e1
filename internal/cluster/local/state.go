package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/pki"
)

// state is what is written down about a cluster. It is saved before anything that it names is made.
type state struct {
	Name string `json:"name"`
	// APIPort is where the machine finds the API server, on 127.0.0.1.
	APIPort int       `json:"apiPort"`
	Publish []Publish `json:"publish,omitempty"`
	Offline bool      `json:"offline,omitempty"`
	Network process   `json:"network"`
	Nodes   []node    `json:"nodes"`
}

type node struct {
	Number int     `json:"number"`
	Init   process `json:"init"`
}

// Publish leads connections to a port of the machine (on 127.0.0.1) to a port of the first node.
type Publish struct {
	Port     int `json:"port"`
	NodePort int `json:"nodePort"`
}

func (p paths) load() (*state, error) {
	data, err := os.ReadFile(p.state())
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's state: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading the cluster's state %s: %w", p.state(), err)
	}
	return s, nil
}

func (p paths) save(s *state) error {
	return writeJSON(p.state(), s)
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return pki.WriteFile(path, append(data, '\n'))
}

// lockFile takes a lock that other processes of this program respect. Who holds it is free to hand the file to a child, which
// then holds the lock too.
func lockFile(path string, wait bool) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err = unix.Flock(int(file.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return file, nil
}

// lockCluster keeps other runs of up and down away from a cluster.
func (p paths) lockCluster() (*os.File, error) {
	file, err := lockFile(p.lock(), false)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another coracle up or down is at work on this cluster (it holds %s)", p.lock())
	}
	return file, err
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
