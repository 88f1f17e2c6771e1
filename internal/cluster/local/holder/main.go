package holder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The descriptors that the machine's side gives to the process, besides the standard ones. The listening sockets of
// Config.Forwards follow from FirstForwardFD on.
const (
	// GoFD is read: one byte means that this process was written down. End of file means that the other side has given up.
	GoFD = 3
	// StatusFD is written: "ready", or what went wrong.
	StatusFD = 4
	// LockFD holds the lock that tells that the cluster has a network.
	LockFD = 5
	// OutsideFD is the machine's network namespace.
	OutsideFD      = 6
	FirstForwardFD = 7
)

// Ready is what the holder writes to StatusFD when the bridge is up.
const Ready = "ready"

// Config says what the network looks like.
type Config struct {
	// Bridge is the device's name, Address its address with the length of the range (CIDR form).
	Bridge  string `json:"bridge"`
	Address string `json:"address"`
	// MAC is the bridge's hardware address.
	MAC string `json:"mac"`
	// Forwards are the targets of the listening sockets, in their order.
	Forwards []string `json:"forwards"`
	// ProxyPort is where nodes find a proxy for TLS connections to the outside, DNSPort where they find name servers. 0 means
	// that there is none.
	ProxyPort int `json:"proxyPort,omitempty"`
	DNSPort   int `json:"dnsPort,omitempty"`
}

// Main is the whole program of the holder. It must be called first thing in main. args are the configuration file's path. It
// ends the process.
func Main(args []string) {
	// Dialling outside moves threads to another namespace and lets them die there. The first thread is the one by which
	// others find this process's namespace, so it is kept for this goroutine.
	runtime.LockOSThread()
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "coracle-init:", err)
		fmt.Fprint(os.NewFile(StatusFD, "status"), err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("the argument is a configuration file's path")
	}
	if _, err := io.ReadFull(os.NewFile(GoFD, "go"), make([]byte, 1)); err != nil {
		return fmt.Errorf("the other side gave up: %w", err)
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("reading the network's configuration: %w", err)
	}
	config := &Config{}
	if err := json.Unmarshal(data, config); err != nil {
		return fmt.Errorf("reading the network's configuration %s: %w", args[0], err)
	}
	for fd := GoFD; fd < FirstForwardFD+len(config.Forwards); fd++ {
		unix.CloseOnExec(fd)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	signal.Ignore(unix.SIGHUP)
	if err := setUp(config); err != nil {
		return err
	}
	if err := serve(ctx, config); err != nil {
		return err
	}
	status := os.NewFile(StatusFD, "status")
	if _, err := status.WriteString(Ready); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if err := status.Close(); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	<-ctx.Done()
	return nil
}

// setUp makes the bridge. What is for no node and not for this process is refused at once instead of vanishing.
func setUp(c *Config) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("starting the loopback device: %w", err)
	}
	addr, err := netlink.ParseAddr(c.Address)
	if err != nil {
		return fmt.Errorf("the bridge's address %q: %w", c.Address, err)
	}
	hardware, err := net.ParseMAC(c.MAC)
	if err != nil {
		return fmt.Errorf("the bridge's hardware address %q: %w", c.MAC, err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.Bridge, HardwareAddr: hardware}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making the bridge %s: %w", c.Bridge, err)
	}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		return fmt.Errorf("giving %s to the bridge %s: %w", c.Address, c.Bridge, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("starting the bridge %s: %w", c.Bridge, err)
	}
	everywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if err := netlink.RouteAdd(&netlink.Route{Dst: everywhere, Type: unix.RTN_UNREACHABLE}); err != nil {
		return fmt.Errorf("refusing what leads outside: %w", err)
	}
	for name, value := range map[string]string{
		"ipv4/ip_forward": "1",
		// Traffic between nodes is the nodes' business: this namespace has no rules for it.
		"bridge/bridge-nf-call-iptables": "0",
	} {
		err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("setting net/%s: %w", name, err)
		}
	}
	return nil
}

func serve(ctx context.Context, c *Config) error {
	for i, target := range c.Forwards {
		file := os.NewFile(uintptr(FirstForwardFD+i), "listener")
		listener, err := net.FileListener(file)
		if err != nil {
			return fmt.Errorf("taking over the listening socket for %s: %w", target, err)
		}
		file.Close()
		go forward(ctx, listener, target)
	}
	address, _, err := net.ParseCIDR(c.Address)
	if err != nil {
		return fmt.Errorf("the bridge's address %q: %w", c.Address, err)
	}
	outside := &outside{namespace: OutsideFD}
	if c.ProxyPort != 0 {
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, c.ProxyPort))
		if err != nil {
			return fmt.Errorf("listening for connections to the outside: %w", err)
		}
		go outside.serveProxy(ctx, listener)
	}
	if c.DNSPort != 0 {
		return outside.serveDNS(ctx, fmt.Sprintf("%s:%d", address, c.DNSPort))
	}
	return nil
}
