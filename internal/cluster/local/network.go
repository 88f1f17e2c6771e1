package local

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// connect makes a pair of network devices: one end on the cluster's bridge, the other in the node under the given name. It
// all happens in the holder's namespace; the machine sees no device.
func connect(network, node process, device, mac, hostname string) error {
	hardware, err := net.ParseMAC(mac)
	if err != nil {
		return fmt.Errorf("the hardware address %q: %w", mac, err)
	}
	return inNetwork(network, func() error {
		bridge, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("finding the bridge: %w", err)
		}
		// A pair of an earlier life of the node may be there still, for the moment that the kernel takes to remove it.
		if old, err := netlink.LinkByName(hostname); err == nil {
			if err := netlink.LinkDel(old); err != nil {
				return fmt.Errorf("removing the old network device of %s: %w", hostname, err)
			}
		}
		pair := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: hostname, MasterIndex: bridge.Attrs().Index},
			PeerName:         device,
			PeerHardwareAddr: hardware,
			PeerNamespace:    netlink.NsPid(node.PID),
		}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("making the network device of %s: %w", hostname, err)
		}
		if err := netlink.LinkSetUp(pair); err != nil {
			return fmt.Errorf("starting the network device of %s: %w", hostname, err)
		}
		return nil
	})
}
