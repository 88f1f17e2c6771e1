package local

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
)

// The addresses of every local cluster. Clusters have networks of their own, so that all can use the same.
const (
	bridgeName = "cluster0"
	deviceName = "eth0"
	proxyPort  = 3128
	dnsPort    = 53
	maxNodes   = 100
)

// nodeNetwork is the range of node addresses; its first address is the holder's.
func nodeNetwork() netip.Prefix { return netip.MustParsePrefix("10.89.0.0/24") }

func holderAddress() netip.Addr { return netip.MustParseAddr("10.89.0.1") }

// NodeAddress returns the address of the node with a number from 1 on.
func NodeAddress(number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 89, 0, byte(10 + number)})
}

// holderMAC is the bridge's hardware address. Left to itself the bridge takes the lowest of its ports', and changes it when that
// node goes; the others would send what is for the bridge to nobody until their neighbour entries expire.
const holderMAC = "02:89:00:00:00:01"

// nodeMAC is fixed, so that a node that comes back is found at once by neighbours that remember it.
func nodeMAC(number int) string { return fmt.Sprintf("02:89:00:00:00:%02x", 10+number) }

// NodeName returns the name of the node with a number from 1 on.
func NodeName(number int) string { return "node-" + strconv.Itoa(number) }

// Paths of the machine that belong to one cluster.
type paths struct{ dir string }

func (p paths) lock() string          { return filepath.Join(p.dir, "lock") }
func (p paths) state() string         { return filepath.Join(p.dir, "cluster.json") }
func (p paths) kubeconfig() string    { return filepath.Join(p.dir, "kubeconfig") }
func (p paths) networkConfig() string { return filepath.Join(p.dir, "network", "config.json") }
func (p paths) networkLock() string   { return filepath.Join(p.dir, "network", "lock") }
func (p paths) networkLog() string    { return filepath.Join(p.dir, "network", "log") }

// node returns the folder of a node.
func (p paths) node(number int) string { return filepath.Join(p.dir, "nodes", NodeName(number)) }

// nodeData is the node's data folder, which outlasts its processes.
func (p paths) nodeData(number int) string { return filepath.Join(p.node(number), "data") }

func clusterPaths(dataDir, name string) paths {
	return paths{dir: filepath.Join(dataDir, "clusters", name)}
}

func cgroupName(cluster string, number int) string {
	return "coracle/" + cluster + "/" + NodeName(number)
}

func checkName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("the cluster's name %q must be up to 32 small letters, digits and hyphens", name)
	}
	return nil
}
