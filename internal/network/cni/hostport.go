package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"coracle.dev/coracle/internal/network/ipam"
	"coracle.dev/coracle/internal/network/nft"
)

// HostPortTable is the nftables table that host ports live in.
const HostPortTable = "coracle-hostports"

// publication is what one pod publishes on the node. It is kept as a file until the pod is gone.
type publication struct {
	Owner    ipam.Owner
	IPs      []netip.Addr
	Mappings []PortMapping
}

func (m PortMapping) proto() (uint8, bool) {
	switch strings.ToLower(m.Protocol) {
	case "", "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "sctp":
		return 132, true
	}
	return 0, false
}

// hostPortBase is the table without any port. A port bound to one host address is in addr-ports, others are in ports; two
// lookups serve any number of them.
func hostPortBase() *nft.Table {
	t := nft.NewTable(HostPortTable)
	var translate, post []nft.Rule
	for _, f := range []nft.Family{nft.IP, nft.IP6} {
		s, a := f.Suffix(), f.AddrType()
		t.AddSet(
			nft.Set{Name: "addr-ports" + s, Key: []nft.Type{a, nft.Proto, nft.Port}, Data: []nft.Type{a, nft.Port}},
			nft.Set{Name: "ports" + s, Key: []nft.Type{nft.Proto, nft.Port}, Data: []nft.Type{a, nft.Port}},
			nft.Set{Name: "hairpin" + s, Key: []nft.Type{a, a}},
		)
		translate = append(translate,
			nft.NewRule(nft.IsFamily(f), nft.Find("addr-ports"+s, f.Daddr(), nft.L4Proto(), nft.Dport()), nft.DNAT(f)),
			nft.NewRule(nft.IsFamily(f), nft.DaddrLocal(), nft.Find("ports"+s, nft.L4Proto(), nft.Dport()), nft.DNAT(f)))
		// A pod that reaches itself, and the node's loopback address, need a source to which the answer comes back.
		post = append(post, nft.NewRule(nft.Translated(), nft.IsFamily(f),
			nft.In("hairpin"+s, f.Saddr(), f.Daddr()), nft.Masquerade()))
	}
	post = append(post, nft.NewRule(nft.Translated(), nft.IsFamily(nft.IP),
		nft.Within(nft.IP.Saddr(), netip.MustParsePrefix("127.0.0.0/8")), nft.InterfaceIsNot(false, "lo"), nft.Masquerade()))
	// Before the services' own translation, whose priority is -100, so that a pod's claim on a port of its node goes first.
	t.AddChain("prerouting", &nft.Base{Type: "nat", Hook: "prerouting", Priority: -105}, translate...)
	t.AddChain("output", &nft.Base{Type: "nat", Hook: "output", Priority: -105}, translate...)
	t.AddChain("postrouting", &nft.Base{Type: "nat", Hook: "postrouting", Priority: 95}, post...)
	return t
}

// elements adds what a publication needs to the table.
func (p publication) elements(t *nft.Table) {
	for _, ip := range p.IPs {
		s := nft.FamilyOf(ip).Suffix()
		for _, m := range p.Mappings {
			proto, ok := m.proto()
			if !ok || m.HostPort == 0 {
				continue
			}
			host, _ := netip.ParseAddr(m.HostIP) // checked on arrival; none means all
			data := nft.Tuple("").Addr(ip).Port(uint16(m.ContainerPort))
			switch {
			case host.IsValid() && !host.IsUnspecified():
				if nft.FamilyOf(host) != nft.FamilyOf(ip) {
					continue
				}
				key := nft.Tuple("").Addr(host).Proto(proto).Port(uint16(m.HostPort))
				t.Put("addr-ports"+s, nft.Element{Key: key, Data: data})
			default:
				t.Put("ports"+s, nft.Element{Key: nft.Tuple("").Proto(proto).Port(uint16(m.HostPort)), Data: data})
			}
			t.Put("hairpin"+s, nft.Element{Key: nft.Tuple("").Addr(ip).Addr(ip)})
		}
	}
}

// publish keeps the publication as a file and adds its elements to the kernel's table, which is made when missing.
func publish(dir string, p publication) error {
	if len(p.Mappings) == 0 {
		return nil
	}
	unlock, err := lockHostPorts(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := writePublication(dir, p); err != nil {
		return err
	}
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	t := hostPortBase()
	p.elements(t)
	change := nft.NewChange(t)
	change.AddAll(t)
	if conn.Apply(change) == nil {
		return nil // the table was there, as always but the first time
	}
	if err := conn.Ensure(t); err != nil {
		return fmt.Errorf("publishing host ports: %w", err)
	}
	return nil
}

// unpublish takes the owner's elements out of the table and forgets the file.
func unpublish(dir string, owner ipam.Owner) error {
	path := publicationPath(dir, owner)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockHostPorts(dir)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := readPublication(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting host ports: %w", err)
	}
	return syncWithout(dir, p)
}

// syncWithout deletes the elements of p that no other publication wants. When some of them are missing in the kernel (the table
// was flushed), the whole table is made anew.
func syncWithout(dir string, p publication) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	want, err := desiredHostPorts(dir)
	if err != nil {
		return err
	}
	old := want.Clone()
	p.elements(old)
	change, _ := nft.Diff(old, want)
	if conn.Apply(change) == nil {
		return nil
	}
	return conn.Replace(want)
}

// SyncHostPorts makes the kernel's table equal to what the pods of this node publish, in one transaction.
func SyncHostPorts(conn *nft.Conn, stateDir string) error {
	unlock, err := lockHostPorts(stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	want, err := desiredHostPorts(stateDir)
	if err != nil {
		return err
	}
	return conn.Replace(want)
}

func desiredHostPorts(dir string) (*nft.Table, error) {
	t := hostPortBase()
	paths, err := filepath.Glob(filepath.Join(dir, "hostports", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing host ports: %w", err)
	}
	for _, path := range paths {
		p, err := readPublication(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.elements(t)
	}
	return t, nil
}

// lockHostPorts keeps the files and the kernel's table in step when several plugins and the agent work at once.
func lockHostPorts(dir string) (unlock func(), err error) {
	dir = filepath.Join(dir, "hostports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the host port folder: %w", err)
	}
	if unlock, err = ipam.Lock(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("locking host ports: %w", err)
	}
	return unlock, nil
}

func publicationPath(dir string, o ipam.Owner) string {
	return filepath.Join(dir, "hostports", o.ContainerID+"-"+o.Interface+".json")
}

func writePublication(dir string, p publication) error {
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding host ports: %w", err)
	}
	path := publicationPath(dir, p.Owner)
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("writing host ports: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing host ports: %w", err)
	}
	return nil
}

func readPublication(path string) (publication, error) {
	var p publication
	b, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("reading host ports: %w", err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("reading host ports of %s: %w", path, err)
	}
	return p, nil
}
