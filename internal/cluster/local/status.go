package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Status describes a local cluster. It is the form of `coracle status -o json`.
type Status struct {
	Name       string       `json:"name"`
	Running    bool         `json:"running"`
	Server     string       `json:"server"`
	Kubeconfig string       `json:"kubeconfig"`
	Nodes      []NodeStatus `json:"nodes"`
	// Problem says why the API server could not be asked.
	Problem string `json:"problem,omitempty"`
}

// NodeStatus describes a node of a local cluster.
type NodeStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// PID is the node's first process on the machine; 0 when the node does not run.
	PID int `json:"pid"`
	// Ready is the condition that the API server reports: True, False or Unknown. It is empty when the server has no such node
	// or could not be asked.
	Ready string `json:"ready,omitempty"`
	Log   string `json:"log"`
}

// List returns the names of the clusters below a data folder.
func List(dataDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dataDir, "clusters"))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// KubeconfigPath returns where a cluster's kubeconfig is, or an error that says how to make the cluster.
func KubeconfigPath(dataDir, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	path := clusterPaths(dataDir, name).kubeconfig()
	if _, err := os.Stat(path); missing(err) {
		return "", fmt.Errorf("there is no local cluster %q: make it with coracle up --name %s", name, name)
	} else if err != nil {
		return "", fmt.Errorf("looking for the kubeconfig: %w", err)
	}
	return path, nil
}

// Describe returns a cluster's status. The API server is asked within ctx; when it does not answer the rest is returned.
func Describe(ctx context.Context, dataDir, name string) (*Status, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	p := clusterPaths(dataDir, name)
	s, err := p.load()
	if missing(err) {
		return nil, fmt.Errorf("there is no local cluster %q: make it with coracle up --name %s", name, name)
	}
	if err != nil {
		return nil, err
	}
	status := &Status{
		Name: s.Name, Running: s.Network.alive(), Server: apiURL(s.APIPort), Kubeconfig: p.kubeconfig(), Nodes: []NodeStatus{},
	}
	for _, n := range s.Nodes {
		ns := NodeStatus{
			Name: NodeName(n.Number), Address: NodeAddress(n.Number).String(), Log: filepath.Join(p.node(n.Number), "log"),
		}
		if n.Init.alive() {
			ns.PID = n.Init.PID
		} else {
			status.Running = false
		}
		status.Nodes = append(status.Nodes, ns)
	}
	if !status.Running {
		return status, nil
	}
	ready, err := nodeConditions(ctx, status.Kubeconfig)
	if err != nil {
		status.Problem = err.Error()
		return status, nil
	}
	for i := range status.Nodes {
		status.Nodes[i].Ready = ready[status.Nodes[i].Name]
	}
	return status, nil
}

// ContainerdSockets returns, by node name, the paths by which the machine reaches the containerd of every running node.
func ContainerdSockets(dataDir, name string) (map[string]string, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s, err := clusterPaths(dataDir, name).load()
	if missing(err) {
		return nil, fmt.Errorf("there is no local cluster %q: make it with coracle up --name %s", name, name)
	}
	if err != nil {
		return nil, err
	}
	sockets := map[string]string{}
	for _, n := range s.Nodes {
		if n.Init.alive() {
			sockets[NodeName(n.Number)] = fmt.Sprintf("/proc/%d/root%s", n.Init.PID, containerdSocketInNode())
		}
	}
	return sockets, nil
}
