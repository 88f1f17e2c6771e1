package cni

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/types"

	"coracle.dev/coracle/internal/network/ipam"
)

// PluginName is the plugin's file name, which network configurations give as type.
const PluginName = "coracle-cni"

// SpecVersion is the version of the CNI specification that written configurations ask for.
const SpecVersion = "1.1.0"

// Settings are the plugin's own settings within a network configuration.
type Settings struct {
	// Ranges are the node's pod CIDRs, at most one per IP family.
	Ranges []netip.Prefix `json:"ranges"`
	// StateDir is where addresses and port mappings are kept.
	StateDir string `json:"stateDir"`
	// MTU of the pods' interfaces; 0 leaves the kernel's default.
	MTU int `json:"mtu,omitempty"`
	// NodeIPs are the addresses that the node speaks to its pods from.
	NodeIPs []netip.Addr `json:"nodeIPs,omitempty"`
}

// netConf is a network configuration as the runtime hands it to the plugin.
type netConf struct {
	types.NetConf
	Settings
	RuntimeConfig struct {
		PortMappings []PortMapping `json:"portMappings,omitempty"`
	} `json:"runtimeConfig"`
}

// PortMapping publishes a pod's port on the node, as the portMappings capability defines it.
type PortMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol,omitempty"`
	HostIP        string `json:"hostIP,omitempty"`
}

// Conflist returns the content of a network configuration file for the runtime.
func Conflist(s Settings) ([]byte, error) {
	plugin := struct {
		Type         string          `json:"type"`
		Capabilities map[string]bool `json:"capabilities"`
		Settings
	}{PluginName, map[string]bool{"portMappings": true}, s}
	list := struct {
		CNIVersion string `json:"cniVersion"`
		Name       string `json:"name"`
		Plugins    []any  `json:"plugins"`
	}{SpecVersion, "coracle", []any{plugin}}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the network configuration: %w", err)
	}
	return append(b, '\n'), nil
}

// parseConf reads and checks a configuration.
func parseConf(data []byte) (*netConf, error) {
	c := &netConf{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "decoding the network configuration", err.Error())
	}
	if err := c.check(); err != nil {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "invalid network configuration", err.Error())
	}
	return c, nil
}

func (c *netConf) check() error {
	if !filepath.IsAbs(c.StateDir) {
		return fmt.Errorf("stateDir %q is not an absolute path", c.StateDir)
	}
	if len(c.Ranges) == 0 {
		return fmt.Errorf("ranges is empty")
	}
	seen := map[bool]bool{}
	for _, r := range c.Ranges {
		if !r.IsValid() || seen[r.Addr().Is4()] {
			return fmt.Errorf("ranges %v: want one valid range per IP family", c.Ranges)
		}
		seen[r.Addr().Is4()] = true
	}
	for i := range c.RuntimeConfig.PortMappings {
		m := &c.RuntimeConfig.PortMappings[i]
		if err := m.check(); err != nil {
			return fmt.Errorf("portMappings[%d]: %w", i, err)
		}
	}
	if c.MTU < 0 || c.MTU > 65535 {
		return fmt.Errorf("mtu %d is out of range", c.MTU)
	}
	return nil
}

func (m PortMapping) check() error {
	if m.HostPort < 0 || m.HostPort > 65535 || m.ContainerPort < 1 || m.ContainerPort > 65535 {
		return fmt.Errorf("ports %d and %d: out of range", m.HostPort, m.ContainerPort)
	}
	if _, ok := m.proto(); !ok {
		return fmt.Errorf("protocol %q is unknown", m.Protocol)
	}
	if m.HostIP != "" {
		if _, err := netip.ParseAddr(m.HostIP); err != nil {
			return fmt.Errorf("hostIP: %w", err)
		}
	}
	return nil
}

// pool opens the addresses of a configuration.
func (s Settings) pool() (*ipam.Pool, error) {
	return ipam.New(filepath.Join(s.StateDir, "addresses"), s.Ranges)
}
