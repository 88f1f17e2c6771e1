package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The types of this file let flags read values that the flag library does not know.

type addrValue struct{ addr *netip.Addr }

func (v addrValue) String() string {
	if v.addr == nil || !v.addr.IsValid() {
		return ""
	}
	return v.addr.String()
}
func (v addrValue) Type() string { return "address" }
func (v addrValue) Set(text string) error {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return fmt.Errorf("%q is no address", text)
	}
	*v.addr = addr.Unmap()
	return nil
}

type prefixValue struct{ prefix *netip.Prefix }

func (v prefixValue) String() string {
	if v.prefix == nil || !v.prefix.IsValid() {
		return ""
	}
	return v.prefix.String()
}
func (v prefixValue) Type() string { return "range" }
func (v prefixValue) Set(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is no range such as 10.42.0.0/16", text)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("%s is an address in the range %s", text, prefix.Masked())
	}
	*v.prefix = prefix
	return nil
}

type overlayValue struct{ overlay *Overlay }

func (v overlayValue) String() string {
	if v.overlay == nil {
		return ""
	}
	return string(*v.overlay)
}
func (v overlayValue) Type() string { return "overlay" }
func (v overlayValue) Set(text string) error {
	if o := Overlay(text); o != Direct && o != VXLAN {
		return fmt.Errorf("%q is neither %s nor %s", text, Direct, VXLAN)
	}
	*v.overlay = Overlay(text)
	return nil
}

type taintsValue struct{ taints *[]corev1.Taint }

func (v taintsValue) String() string {
	if v.taints == nil {
		return ""
	}
	var parts []string
	for _, t := range *v.taints {
		parts = append(parts, t.ToString())
	}
	return strings.Join(parts, ",")
}
func (v taintsValue) Type() string { return "taints" }
func (v taintsValue) Set(text string) error {
	taints, err := parseTaints(text)
	if err != nil {
		return err
	}
	*v.taints = append(*v.taints, taints...)
	return nil
}

type capacityValue struct{ list corev1.ResourceList }

func (v capacityValue) String() string {
	var parts []string
	for name, quantity := range v.list {
		parts = append(parts, string(name)+"="+quantity.String())
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
func (v capacityValue) Type() string { return "resources" }
func (v capacityValue) Set(text string) error {
	list, err := parseCapacity(text)
	for name, quantity := range list {
		v.list[name] = quantity
	}
	return err
}

type portRangeValue struct{ ports *PortRange }

func (v portRangeValue) String() string {
	if v.ports == nil {
		return ""
	}
	return v.ports.String()
}
func (v portRangeValue) Type() string { return "ports" }
func (v portRangeValue) Set(text string) error {
	ports, err := ParsePortRange(text)
	if err != nil {
		return err
	}
	*v.ports = ports
	return nil
}
