package nodeinit

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/cluster/local/cgroups"
)

// setUp does what needs the node's root: name, network, kernel settings, and (version 2) the place in the cgroup tree.
func setUp(c *Config) error {
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	for _, h := range c.Hierarchies {
		if h.V2() {
			if err := cgroups.Leaf(h.Mountpoint, "init"); err != nil {
				return err
			}
		}
	}
	if err := setSysctls(); err != nil {
		return err
	}
	return setUpNetwork(c)
}

// setSysctls sets what a machine that carries pods needs and a new network namespace does not have. Settings that this kernel
// does not know are skipped.
func setSysctls() error {
	for name, value := range map[string]string{
		"net.ipv4.ip_forward":                "1",
		"net.ipv6.conf.all.forwarding":       "1",
		"net.bridge.bridge-nf-call-iptables": "1",
		"net.core.somaxconn":                 "4096",
		"net.ipv4.conf.all.rp_filter":        "0",
	} {
		path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
		err := os.WriteFile(path, []byte(value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

func setUpNetwork(c *Config) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("starting the loopback device: %w", err)
	}
	if c.Interface == "" {
		return nil
	}
	link, err := netlink.LinkByName(c.Interface)
	if err != nil {
		return fmt.Errorf("finding the network device %s: %w", c.Interface, err)
	}
	addr, err := netlink.ParseAddr(c.Address)
	if err != nil {
		return fmt.Errorf("the address %q of %s: %w", c.Address, c.Interface, err)
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("giving %s to %s: %w", c.Address, c.Interface, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("starting the network device %s: %w", c.Interface, err)
	}
	gateway := net.ParseIP(c.Gateway)
	if gateway == nil {
		return nil
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("setting the default route by %s: %w", c.Gateway, err)
	}
	return nil
}
