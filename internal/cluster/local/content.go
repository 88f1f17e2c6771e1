package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"coracle.dev/coracle/internal/cluster/config"
	"coracle.dev/coracle/internal/cluster/pki"
)

// Content decides what runs in the nodes.
type Content interface {
	// Prepare fills a node's data folder (a path of the machine) and returns the command to keep running in the node. It is
	// called before every start of the node, for the first node first.
	Prepare(number int, dataDir string) (command []string, err error)
}

// binaryInNode is where nodes have the coracle binary.
const binaryInNode = "/usr/local/bin/coracle"

// coracleContent makes a cluster of a server and agents. Authority and token are made here, so that nobody needs to wait for
// the server to make them: all nodes start at once.
type coracleContent struct {
	paths      paths
	name       string
	apiPort    int
	nodes      int
	serverArgs []string
	agentArgs  []string
	memory     int64 // of the machine, in bytes

	token pki.Token
}

func newCoracleContent(p paths, s *state, opts Options, now time.Time) (*coracleContent, error) {
	c := &coracleContent{
		paths: p, name: s.Name, apiPort: s.APIPort,
		nodes: max(opts.Nodes, len(s.Nodes)), serverArgs: opts.ServerArgs, agentArgs: opts.AgentArgs,
	}
	var err error
	if c.memory, err = machineMemory(); err != nil {
		return nil, err
	}
	first := config.Common{DataDir: p.nodeData(1)}
	authority, err := pki.EnsureAuthority(pki.PairIn(first.ServerPKIDir(), "ca"), "coracle-ca", now)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w", err)
	}
	if c.token, err = ensureToken(first.TokenFile()); err != nil {
		return nil, err
	}
	c.token.CAHash = authority.Hash()
	return c, c.writeKubeconfig(authority, now)
}

func ensureToken(path string) (pki.Token, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		token, err := pki.ParseToken(strings.TrimSpace(string(data)))
		if err != nil {
			return token, fmt.Errorf("reading %s: %w", path, err)
		}
		return token, nil
	}
	if !missing(err) {
		return pki.Token{}, fmt.Errorf("reading the join token: %w", err)
	}
	token, err := pki.NewToken()
	if err != nil {
		return pki.Token{}, err
	}
	return token, pki.WriteFile(path, []byte(token.Bearer()+"\n"))
}

// writeKubeconfig writes the administrator's kubeconfig for the machine.
func (c *coracleContent) writeKubeconfig(authority *pki.Authority, now time.Time) error {
	pair := pki.PairIn(c.paths.dir, "admin")
	leaf := pki.Leaf{CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Client: true}
	if _, err := authority.EnsureLeaf(pair, leaf, false, now); err != nil {
		return fmt.Errorf("the administrator's certificate: %w", err)
	}
	cert, err := os.ReadFile(pair.CertFile)
	if err != nil {
		return fmt.Errorf("reading the administrator's certificate: %w", err)
	}
	key, err := os.ReadFile(pair.KeyFile)
	if err != nil {
		return fmt.Errorf("reading the administrator's key: %w", err)
	}
	return pki.WriteKubeconfig(c.paths.kubeconfig(), pki.Kubeconfig{
		Cluster: c.name, User: "kubernetes-admin@" + c.name, Server: apiURL(c.apiPort), CA: authority.PEM(), Cert: cert, Key: key,
	})
}

func apiURL(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }

// Prepare implements Content.
func (c *coracleContent) Prepare(number int, dataDir string) ([]string, error) {
	common := []string{
		"--data-dir=" + config.DefaultDataDir, "--state-dir=" + config.DefaultStateDir,
		"--node-name=" + NodeName(number), "--node-ip=" + NodeAddress(number).String(), "--overlay=" + string(config.Direct),
	}
	if c.nodes > 1 {
		// The machine's memory is there once. Processors are shared by time, so every node may offer all of them.
		common = append(common, fmt.Sprintf("--capacity=memory=%dMi", c.memory/int64(c.nodes)>>20))
	}
	if number == 1 {
		return append(append([]string{binaryInNode, "server"}, common...), c.serverArgs...), nil
	}
	inNode := config.Common{DataDir: dataDir}
	if err := pki.WriteFile(inNode.AgentTokenFile(), []byte(c.token.String()+"\n")); err != nil {
		return nil, err
	}
	inNode.DataDir = config.DefaultDataDir
	join := []string{
		binaryInNode, "agent", fmt.Sprintf("--server=https://%s:%d", NodeAddress(1), config.DefaultSecurePort),
		"--token-file=" + inNode.AgentTokenFile(),
	}
	return append(append(join, common...), c.agentArgs...), nil
}

// machineMemory reads the size of the machine's memory in bytes.
func machineMemory() (int64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", "meminfo"))
	if err != nil {
		return 0, fmt.Errorf("measuring the machine's memory: %w", err)
	}
	var kib int64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err != nil {
		return 0, fmt.Errorf("measuring the machine's memory: %w", err)
	}
	return kib << 10, nil
}
