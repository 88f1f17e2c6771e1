package nodeinit

import (
	"encoding/json"
	"fmt"
	"os"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
)

// The descriptors that the machine's side gives to the process, besides the standard ones.
const (
	// GoFD is read: one byte means that cgroups and network device are there. End of file means that the other side has
	// given up.
	GoFD = 3
	// StatusFD is written: "ready", or what went wrong.
	StatusFD = 4
	// LockFD holds the lock on the node's folder for as long as the node lives.
	LockFD = 5
)

// Ready is what the init writes to StatusFD when the node is up.
const Ready = "ready"

// Config says what the node looks like from inside. Paths are the machine's unless said otherwise.
type Config struct {
	Hostname string `json:"hostname"`
	// Root is an empty folder where the node's root file system is put together.
	Root string `json:"root"`
	// Upper and Work make the root an overlay of the machine's, so that what is written stays the node's own.
	Upper string `json:"upper"`
	Work  string `json:"work"`
	// Binds are further folders and files that the node sees.
	Binds       []Bind              `json:"binds"`
	Hierarchies []cgroups.Hierarchy `json:"hierarchies"`

	// Interface is the network device's name, Address its address with the length of the range (CIDR form), Gateway the
	// default route's. Without an interface the node has loopback only.
	Interface string `json:"interface,omitempty"`
	Address   string `json:"address,omitempty"`
	Gateway   string `json:"gateway,omitempty"`
	// Hosts is what /etc/hosts holds besides localhost, NameServers what /etc/resolv.conf does.
	Hosts       map[string]string `json:"hosts,omitempty"`
	NameServers []string          `json:"nameServers,omitempty"`

	// Command is the agent: the path inside the node, and its arguments. Environ is its whole environment.
	Command []string `json:"command"`
	Environ []string `json:"environ"`
}

// Bind makes a folder or a file of the machine visible in the node.
type Bind struct {
	Source string `json:"source"`
	// Target is the path inside the node.
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

func load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the node's configuration: %w", err)
	}
	config := &Config{}
	if err := json.Unmarshal(data, config); err != nil {
		return nil, fmt.Errorf("reading the node's configuration %s: %w", path, err)
	}
	if len(config.Command) == 0 {
		return nil, fmt.Errorf("reading the node's configuration %s: it has no command", path)
	}
	return config, nil
}
