package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"coracle.dev/coracle/internal/network/ipam"
)

// errNotAvailable is the specification's error code of STATUS for a plugin that cannot serve ADD.
const errNotAvailable = 50

// Main runs the operation that the environment asks for and ends the process with 1 when it failed.
func Main() {
	skel.PluginMainFuncs(Funcs(), version.PluginSupports("0.4.0", "1.0.0", "1.1.0"), "CNI plugin "+PluginName)
}

// Funcs returns the plugin's operations.
func Funcs() skel.CNIFuncs {
	return skel.CNIFuncs{
		Add:    add,
		Del:    del,
		Check:  check,
		GC:     gc,
		Status: status,
	}
}

func ownerOf(args *skel.CmdArgs) ipam.Owner {
	return ipam.Owner{ContainerID: args.ContainerID, Interface: args.IfName}
}

func add(args *skel.CmdArgs) error {
	result, conf, err := Attach(args)
	if err != nil {
		return err
	}
	return types.PrintResult(result, conf.CNIVersion)
}

// Attach connects a pod and returns what the runtime is told. After an error nothing is left behind.
func Attach(args *skel.CmdArgs) (_ *current.Result, _ *types.NetConf, err error) {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return nil, nil, err
	}
	ns, err := openNS(args.Netns)
	if err != nil {
		return nil, nil, types.NewError(types.ErrInvalidNetNS, "cannot enter the pod", err.Error())
	}
	defer func() { _ = ns.Close() }()
	pool, err := conf.pool()
	if err != nil {
		return nil, nil, err
	}
	owner := ownerOf(args)
	ips, err := pool.Allocate(owner)
	if err != nil {
		return nil, nil, fmt.Errorf("allocating an address: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Detach(conf.Settings, owner))
		}
	}()
	a := attachment{owner: owner, ips: ips, conf: conf.Settings}
	if err := a.create(ns); err != nil {
		return nil, nil, err
	}
	if err := publish(conf.StateDir, publication{owner, ips, hostMappings(conf)}); err != nil {
		return nil, nil, err
	}
	return a.result(args.Netns), &conf.NetConf, nil
}

// hostMappings returns the mappings that publish something.
func hostMappings(c *netConf) []PortMapping {
	var out []PortMapping
	for _, m := range c.RuntimeConfig.PortMappings {
		if m.HostPort != 0 {
			out = append(out, m)
		}
	}
	return out
}

func (a attachment) result(netns string) *current.Result {
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion, Interfaces: []*current.Interface{
		{Name: hostName(a.owner), Mac: hostMAC().String(), Mtu: a.conf.MTU},
		{Name: a.owner.Interface, Mac: podMAC(a.ips[0]).String(), Mtu: a.conf.MTU, Sandbox: netns},
	}}
	for _, ip := range a.ips {
		r.IPs = append(r.IPs, &current.IPConfig{Interface: current.Int(1), Address: *bare(ip), Gateway: gateway(ip).AsSlice()})
		all := *bare(netip.IPv4Unspecified())
		if ip.Is6() {
			all = *bare(netip.IPv6Unspecified())
		}
		clear(all.Mask)
		r.Routes = append(r.Routes, &types.Route{Dst: all, GW: gateway(ip).AsSlice()})
	}
	return r
}

func del(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	return Detach(conf.Settings, ownerOf(args))
}

// Detach removes everything an attachment made, as far as it is there. The address is freed last: a failure before keeps it, so
// that nobody else gets it while something still leads to the old pod.
func Detach(s Settings, owner ipam.Owner) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer h.Close()
	if err := removeLink(h, hostName(owner)); err != nil {
		return err
	}
	if err := unpublish(s.StateDir, owner); err != nil {
		return err
	}
	pool, err := s.pool()
	if err != nil {
		return err
	}
	return pool.Release(owner)
}

func check(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	ns, err := openNS(args.Netns)
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	pool, err := conf.pool()
	if err != nil {
		return err
	}
	ips, err := pool.Owned(ownerOf(args))
	if err != nil {
		return err
	}
	if len(ips) == 0 {
		return fmt.Errorf("container %s has no address", args.ContainerID)
	}
	return attachment{owner: ownerOf(args), ips: ips, conf: conf.Settings}.check(ns)
}

// gc removes all attachments but those that the runtime lists as valid.
func gc(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	valid := map[ipam.Owner]bool{}
	for _, a := range conf.ValidAttachments {
		valid[ipam.Owner{ContainerID: a.ContainerID, Interface: a.IfName}] = true
	}
	pool, err := conf.pool()
	if err != nil {
		return err
	}
	owners, err := pool.Owners()
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range owners {
		if !valid[o] {
			errs = append(errs, Detach(conf.Settings, o))
		}
	}
	return errors.Join(append(errs, pool.Sweep())...)
}

// status says whether an ADD could succeed now.
func status(args *skel.CmdArgs) error {
	conf, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	if err := unix.Access(filepath.Clean(conf.StateDir), unix.W_OK); err != nil && !errors.Is(err, unix.ENOENT) {
		return types.NewError(errNotAvailable, "the state folder cannot be written", err.Error())
	}
	pool, err := conf.pool()
	if err != nil {
		return types.NewError(errNotAvailable, "addresses cannot be allocated", err.Error())
	}
	if err := pool.Full(); err != nil {
		return types.NewError(errNotAvailable, "addresses cannot be allocated", err.Error())
	}
	return nil
}
