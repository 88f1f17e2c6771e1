package alloc

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// view is what allocation decides from.
type view struct {
	families families
	// ranges are those that give out addresses now, in order.
	ranges []ipRange
	// taken tells whether an address has an owner.
	taken  func(netip.Addr) bool
	ports  *portMap // changed by planning
	random Random
}

// plan is what must happen with a service's write.
type plan struct {
	take, free []netip.Addr
}

// planWrite completes after and says which addresses it takes and frees; node ports are taken from and returned to the view's
// map. before is nil on create. An error is a Status error; after and the map are then of no use.
func (v *view) planWrite(after, before *corev1.Service) (plan, error) {
	if before != nil {
		restoreAllocated(after, before)
	}
	pairClusterIPs(after, before)
	if errs := v.families.complete(after, before); len(errs) > 0 {
		return plan{}, invalid(after, errs)
	}
	if before != nil {
		if errs := validateAddressChange(after, before); len(errs) > 0 {
			return plan{}, invalid(after, errs)
		}
	}
	p, err := v.planAddresses(after, before)
	if err != nil {
		return plan{}, err
	}
	return p, v.planPorts(after, before)
}

// planDelete says which addresses a deleted service frees and returns its node ports.
func (v *view) planDelete(before *corev1.Service) plan {
	for _, port := range portsOf(before) {
		v.ports.free(port)
	}
	return plan{free: addressesOf(before)}
}

// addressesOf lists the addresses that a stored service holds.
func addressesOf(s *corev1.Service) []netip.Addr {
	if s == nil || !needsIP(s) || headless(s) {
		return nil
	}
	var held []netip.Addr
	texts := s.Spec.ClusterIPs
	if len(texts) == 0 && s.Spec.ClusterIP != "" {
		texts = []string{s.Spec.ClusterIP}
	}
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			held = append(held, a)
		}
	}
	return held
}

// planAddresses fills in the addresses that are not named, and compares with what the service held.
func (v *view) planAddresses(after, before *corev1.Service) (plan, error) {
	held := addressesOf(before)
	var p plan
	if needsIP(after) && !headless(after) && !keepsPreferred(after, before) {
		if err := v.fill(after, held, &p); err != nil {
			return plan{}, err
		}
	}
	for _, a := range held {
		if !slices.Contains(addressesOf(after), a) {
			p.free = append(p.free, a)
		}
	}
	return p, nil
}

// fill gives every family of the service its address.
func (v *view) fill(s *corev1.Service, held []netip.Addr, p *plan) error {
	spec := &s.Spec
	for i, family := range spec.IPFamilies {
		if i < len(spec.ClusterIPs) && spec.ClusterIPs[i] != "" {
			a, err := netip.ParseAddr(spec.ClusterIPs[i])
			if err != nil {
				return apierrors.NewInternalError(fmt.Errorf("failed to parse service IP %q", spec.ClusterIPs[i]))
			}
			if slices.Contains(held, a) {
				continue
			}
			if err := v.claim(a, p); err != nil {
				return invalid(s, field.ErrorList{field.Invalid(specPath("clusterIPs"), spec.ClusterIPs,
					fmt.Sprintf("failed to allocate IP %v: %v", spec.ClusterIPs[i], err))})
			}
			continue
		}
		a, err := v.any(family, p)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", s.Name, err))
		}
		if i >= len(spec.ClusterIPs) {
			spec.ClusterIPs = append(slices.Clip(spec.ClusterIPs), a.String())
		} else {
			spec.ClusterIPs[i] = a.String()
		}
	}
	if len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	return nil
}

// claim takes one certain address.
func (v *view) claim(a netip.Addr, p *plan) error {
	inside := slices.IndexFunc(v.ranges, func(r ipRange) bool { return r.prefix.Contains(a) })
	switch {
	case inside < 0:
		return errMismatch
	case !slices.ContainsFunc(v.ranges, func(r ipRange) bool { return r.contains(a) }):
		return fmt.Errorf("the provided IP (%v) is not in the valid range. The range of valid IPs is %s",
			a, v.ranges[inside].prefix)
	case v.taken(a) || slices.Contains(p.take, a):
		return errIPAllocated
	}
	p.take = append(p.take, a)
	return nil
}

// any takes a free address of the family.
func (v *view) any(family corev1.IPFamily, p *plan) (netip.Addr, error) {
	taken := func(a netip.Addr) bool { return v.taken(a) || slices.Contains(p.take, a) }
	for _, r := range v.ranges {
		if familyOf(r.first) != family || r.size == 0 {
			continue
		}
		if a, ok := r.pick(taken, v.random); ok {
			p.take = append(p.take, a)
			return a, nil
		}
	}
	return netip.Addr{}, errFull
}

func invalid(s *corev1.Service, errs field.ErrorList) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, s.Name, errs)
}

// portsOf lists the node ports that a stored service holds, that of its health check included, each once.
func portsOf(s *corev1.Service) []int {
	held := nodePortsOf(s)
	if port := healthPortOf(s); port != 0 {
		held = append(held, port)
	}
	return held
}

func nodePortsOf(s *corev1.Service) []int {
	if s == nil || !needsNodePorts(s) {
		return nil
	}
	var held []int
	for _, p := range s.Spec.Ports {
		if port := int(p.NodePort); port != 0 && !slices.Contains(held, port) {
			held = append(held, port)
		}
	}
	return held
}

func healthPortOf(s *corev1.Service) int {
	if s == nil || !needsHealthPort(s) {
		return 0
	}
	return int(s.Spec.HealthCheckNodePort)
}

// planPorts fills in node ports and the health check's port. A port that the service has for the one is not free for the other.
func (v *view) planPorts(after, before *corev1.Service) error {
	if needsNodePorts(after) {
		if err := v.nodePorts(after, nodePortsOf(before)); err != nil {
			return err
		}
	}
	if needsHealthPort(after) {
		if err := v.healthPort(after, healthPortOf(before)); err != nil {
			return err
		}
	}
	now := portsOf(after)
	for _, port := range portsOf(before) {
		if !slices.Contains(now, port) {
			v.ports.free(port)
		}
	}
	return nil
}

// nodePorts first takes what is asked for, so that no port picked at random is one asked for further down. Ports of one number
// with two protocols share a node port.
func (v *view) nodePorts(s *corev1.Service, held []int) error {
	mine := slices.Clone(held)
	byPort := map[int32]int32{}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.NodePort == 0 {
			continue
		}
		if !slices.Contains(mine, int(p.NodePort)) {
			if err := v.ports.take(int(p.NodePort)); err != nil {
				path := specPath("ports").Index(i).Child("nodePort")
				return invalid(s, field.ErrorList{field.Invalid(path, p.NodePort, err.Error())})
			}
			mine = append(mine, int(p.NodePort))
		}
		if _, ok := byPort[p.Port]; !ok {
			byPort[p.Port] = p.NodePort
		}
	}
	if !givesNodePorts(s) {
		return nil
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.NodePort != 0 {
			continue
		}
		if shared := byPort[p.Port]; shared != 0 && !doubled(s, i, shared) {
			p.NodePort = shared
			continue
		}
		port, err := v.ports.pick(v.random)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
		}
		p.NodePort = int32(port)
		byPort[p.Port] = p.NodePort
	}
	return nil
}

// doubled tells whether the service has that node port already for the protocol of its i-th port.
func doubled(s *corev1.Service, i int, nodePort int32) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.NodePort == nodePort && p.Protocol == s.Spec.Ports[i].Protocol
	})
}

func (v *view) healthPort(s *corev1.Service, held int) error {
	port := int(s.Spec.HealthCheckNodePort)
	if port == 0 {
		picked, err := v.ports.pick(v.random)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %w", port, err))
		}
		s.Spec.HealthCheckNodePort = int32(picked)
		return nil
	}
	if port == held {
		return nil
	}
	if err := v.ports.take(port); err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", port, err))
	}
	return nil
}
