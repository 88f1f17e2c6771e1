package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/rule"
)

// Cluster addresses, IP families and the ports that a service was given are judged by the allocator, which alone knows what the
// client meant where it said nothing. Here is all the rest.

func validateService(s *corev1.Service) field.ErrorList { return validateServiceNow(s, nil) }

func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	at := specAt()
	var errs field.ErrorList
	if isLoadBalancer(s) && isLoadBalancer(old) && !samePointer(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
		errs = append(errs, field.Invalid(at.Child("loadBalancerClass"), s.Spec.LoadBalancerClass, "may not change once set"))
	}
	now, before := s.Spec.HealthCheckNodePort, old.Spec.HealthCheckNodePort
	if hasHealthPort(&s.Spec) && hasHealthPort(&old.Spec) && now != 0 && now != before {
		errs = append(errs, field.Forbidden(at.Child("healthCheckNodePort"), "field is immutable"))
	}
	return append(errs, validateServiceNow(s, old)...)
}

// validateServiceNow judges a service as it is. old, nil on create, excuses addresses that were there already.
func validateServiceNow(s, old *corev1.Service) field.ErrorList {
	at, spec := specAt(), &s.Spec
	if old == nil {
		old = &corev1.Service{}
	}
	return slices.Concat(
		validateTopologyAnnotations(s),
		validateServiceType(at, s),
		validateServicePorts(at.Child("ports"), spec),
		rule.Labels(at.Child("selector"), spec.Selector),
		validateSessionAffinity(at, spec),
		validateExternalIPs(at.Child("externalIPs"), spec.ExternalIPs, old.Spec.ExternalIPs),
		validateSourceRanges(s, old),
		validateLoadBalancerFields(at, s),
		validateTrafficPolicies(at, s))
}

func validateTopologyAnnotations(s *corev1.Service) field.ErrorList {
	hints, hasHints := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	mode, hasMode := s.Annotations[corev1.AnnotationTopologyMode]
	if !hasHints || !hasMode || hints == mode {
		return nil
	}
	return field.ErrorList{field.Invalid(metadataAt().Child("annotations").Key(corev1.AnnotationTopologyMode), mode,
		fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints))}
}

func isLoadBalancer(s *corev1.Service) bool { return s.Spec.Type == corev1.ServiceTypeLoadBalancer }

// isHeadless also knows services whose clusterIPs have not been filled in from clusterIP yet.
func isHeadless(s *corev1.Service) bool {
	if len(s.Spec.ClusterIPs) == 0 {
		return s.Spec.ClusterIP == corev1.ClusterIPNone
	}
	return len(s.Spec.ClusterIPs) == 1 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

func validateServiceType(at *field.Path, s *corev1.Service) field.ErrorList {
	spec := &s.Spec
	errs := rule.GivenOneOf(at.Child("type"), spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	if len(spec.Ports) == 0 && !isHeadless(s) && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(at.Child("ports"), ""))
	}
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if isHeadless(s) {
			errs = append(errs, field.Invalid(at.Child("clusterIPs").Index(0), corev1.ClusterIPNone,
				fmt.Sprintf("may not be set to 'None' for %s services", spec.Type)))
		}
	case corev1.ServiceTypeExternalName:
		errs = append(errs, validateExternalName(at, spec)...)
	default: // nothing more
	}
	return errs
}

func validateExternalName(at *field.Path, spec *corev1.ServiceSpec) field.ErrorList {
	r := &refusals{why: "may not be set for ExternalName services"}
	r.unless(spec.ClusterIP == "" && len(spec.ClusterIPs) == 0, at, "clusterIPs")
	r.unless(len(spec.IPFamilies) == 0, at, "ipFamilies")
	r.unless(spec.IPFamilyPolicy == nil, at, "ipFamilyPolicy")
	name := strings.TrimSuffix(spec.ExternalName, ".")
	if name == "" {
		return append(r.errs, field.Required(at.Child("externalName"), ""))
	}
	return append(r.errs, rule.DNSSubdomain(at.Child("externalName"), name)...)
}

func validateServicePorts(at *field.Path, spec *corev1.ServiceSpec) field.ErrorList {
	type key struct {
		protocol corev1.Protocol
		number   int32
	}
	var errs field.ErrorList
	names, ports, nodePorts := sets.New[string](), sets.New[key](), sets.New[key]()
	for i := range spec.Ports {
		p, at := &spec.Ports[i], at.Index(i)
		errs = append(errs, validateServicePort(at, p, len(spec.Ports) > 1)...)
		if p.Name != "" && names.Has(p.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		names.Insert(p.Name)
		node := key{p.Protocol, p.NodePort}
		switch {
		case p.NodePort == 0:
		case spec.Type == corev1.ServiceTypeClusterIP:
			errs = append(errs, field.Forbidden(at.Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
			fallthrough
		default:
			if nodePorts.Has(node) {
				errs = append(errs, field.Duplicate(at.Child("nodePort"), p.NodePort))
			}
			nodePorts.Insert(node)
		}
		if id := (key{p.Protocol, p.Port}); ports.Has(id) {
			errs = append(errs, field.Duplicate(at, corev1.ServicePort{Protocol: p.Protocol, Port: p.Port}))
		} else {
			ports.Insert(id)
		}
	}
	return errs
}

func validateServicePort(at *field.Path, p *corev1.ServicePort, needsName bool) field.ErrorList {
	var errs field.ErrorList
	if needsName || p.Name != "" {
		errs = rule.GivenDNSLabel(at.Child("name"), p.Name)
	}
	errs = slices.Concat(errs,
		rule.Port(at.Child("port"), p.Port),
		validateProtocol(at.Child("protocol"), p.Protocol),
		rule.PortOrName(at.Child("targetPort"), p.TargetPort))
	if p.AppProtocol != nil {
		errs = append(errs, rule.QualifiedName(at.Child("appProtocol"), *p.AppProtocol)...)
	}
	return errs
}

// maxAffinitySeconds is how long a client may be kept on one endpoint.
const maxAffinitySeconds = 86400

func validateSessionAffinity(at *field.Path, spec *corev1.ServiceSpec) field.ErrorList {
	errs := rule.GivenOneOf(at.Child("sessionAffinity"), spec.SessionAffinity,
		corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	c, at := spec.SessionAffinityConfig, at.Child("sessionAffinityConfig")
	if spec.SessionAffinity == corev1.ServiceAffinityNone && c != nil {
		errs = append(errs, field.Forbidden(at, "must not be set when session affinity is None"))
	}
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return errs
	}
	const when = "when session affinity type is ClientIP"
	seconds := at.Child("clientIP", "timeoutSeconds")
	switch {
	case c == nil:
		errs = append(errs, field.Required(at, when))
	case c.ClientIP == nil:
		errs = append(errs, field.Required(at.Child("clientIP"), when))
	case c.ClientIP.TimeoutSeconds == nil:
		errs = append(errs, field.Required(seconds, when))
	default:
		if n := *c.ClientIP.TimeoutSeconds; n <= 0 || n > maxAffinitySeconds {
			errs = append(errs, field.Invalid(seconds, n,
				fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds)))
		}
	}
	return errs
}

func validateExternalIPs(at *field.Path, now, before []string) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range now {
		bad := rule.IP(at.Index(i), ip, before)
		if len(bad) == 0 {
			bad = rule.EndpointIP(at.Index(i), ip)
		}
		errs = append(errs, bad...)
	}
	return errs
}

// validateSourceRanges judges who may reach a load balancer, from the field or the annotation that preceded it. Spaces around
// ranges have always been let in.
func validateSourceRanges(s, old *corev1.Service) field.ErrorList {
	const key = corev1.AnnotationLoadBalancerSourceRangesKey
	const why = "may only be used when `type` is 'LoadBalancer'"
	trim := func(list []string) []string {
		out := slices.Clone(list)
		for i := range out {
			out[i] = strings.TrimSpace(out[i])
		}
		return out
	}
	var errs field.ErrorList
	if ranges := s.Spec.LoadBalancerSourceRanges; len(ranges) > 0 {
		at := specAt().Child("LoadBalancerSourceRanges")
		if !isLoadBalancer(s) {
			errs = append(errs, field.Forbidden(at, why))
		}
		for i, r := range trim(ranges) {
			errs = append(errs, rule.CIDR(at.Index(i), r, trim(old.Spec.LoadBalancerSourceRanges))...)
		}
		return errs
	}
	text, ok := s.Annotations[key]
	if !ok {
		return nil
	}
	at := metadataAt().Child("annotations").Key(key)
	if !isLoadBalancer(s) {
		errs = append(errs, field.Forbidden(at, why))
	}
	if before, had := old.Annotations[key]; had && before == text || strings.TrimSpace(text) == "" {
		return errs
	}
	for _, r := range trim(strings.Split(text, ",")) {
		errs = append(errs, rule.CIDR(at, r, nil)...)
	}
	return errs
}

func validateLoadBalancerFields(at *field.Path, s *corev1.Service) field.ErrorList {
	const why = "may only be used when `type` is 'LoadBalancer'"
	var errs field.ErrorList
	give, class := s.Spec.AllocateLoadBalancerNodePorts, s.Spec.LoadBalancerClass
	switch {
	case give != nil && !isLoadBalancer(s):
		errs = append(errs, field.Forbidden(at.Child("allocateLoadBalancerNodePorts"), why))
	case give == nil && isLoadBalancer(s):
		errs = append(errs, field.Required(field.NewPath("allocateLoadBalancerNodePorts"), ""))
	}
	switch {
	case class == nil:
	case isLoadBalancer(s):
		errs = append(errs, rule.QualifiedName(at.Child("loadBalancerClass"), *class)...)
	default:
		errs = append(errs, field.Forbidden(at.Child("loadBalancerClass"), why))
	}
	return errs
}

func validateTrafficPolicies(at *field.Path, s *corev1.Service) field.ErrorList {
	spec := &s.Spec
	external := at.Child("externalTrafficPolicy")
	var errs field.ErrorList
	switch {
	case ExternallyAccessible(s):
		errs = rule.GivenOneOf(external, spec.ExternalTrafficPolicy,
			corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	case spec.ExternalTrafficPolicy != "":
		errs = append(errs, field.Invalid(external, spec.ExternalTrafficPolicy,
			"may only be set for externally-accessible services"))
	}
	health := at.Child("healthCheckNodePort")
	switch port := spec.HealthCheckNodePort; {
	case port == 0: // the allocator gives one where it is needed
	case hasHealthPort(spec):
		errs = append(errs, rule.Messages(health, port, utilvalidation.IsValidPortNum(int(port)))...)
	default:
		errs = append(errs, field.Invalid(health, port,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	switch spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if spec.InternalTrafficPolicy == nil {
			errs = append(errs, field.Required(at.Child("internalTrafficPolicy"), ""))
		}
	default: // names need no policy, and other types do not exist
	}
	return slices.Concat(errs,
		rule.MaybeOneOf(at.Child("internalTrafficPolicy"), spec.InternalTrafficPolicy,
			corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal),
		rule.MaybeOneOf(at.Child("trafficDistribution"), spec.TrafficDistribution, corev1.ServiceTrafficDistributionPreferClose,
			corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode))
}

// validateServiceStatus judges what a load balancer reports.
func validateServiceStatus(s, old *corev1.Service) field.ErrorList {
	at := statusAt().Child("loadBalancer", "ingress")
	list := s.Status.LoadBalancer.Ingress
	if !isLoadBalancer(s) && len(list) > 0 {
		return field.ErrorList{field.Forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")}
	}
	var before []string
	for _, in := range old.Status.LoadBalancer.Ingress {
		before = append(before, in.IP)
	}
	var errs field.ErrorList
	for i, in := range list {
		at := at.Index(i)
		if in.IP != "" {
			errs = append(errs, rule.IP(at.Child("ip"), in.IP, before)...)
		}
		switch mode := at.Child("ipMode"); {
		case in.IPMode == nil && in.IP != "":
			errs = append(errs, field.Required(mode, "must be specified when `ip` is set"))
		case in.IPMode != nil && in.IP == "":
			errs = append(errs, field.Forbidden(mode, "may not be specified when `ip` is not set"))
		default:
			errs = append(errs, rule.MaybeOneOf(mode, in.IPMode, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)...)
		}
		if in.Hostname != "" {
			errs = append(errs, rule.Hostname(at.Child("hostname"), in.Hostname)...)
		}
	}
	return errs
}

// warnService returns the warnings for a service.
func warnService(s, _ *corev1.Service) []string {
	var out []string
	at, spec := specAt(), &s.Spec
	if _, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		out = append(out, fmt.Sprintf("annotation %s is deprecated, please use %s instead",
			corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode))
	}
	if spec.ClusterIP != "" && spec.ClusterIP != corev1.ClusterIPNone {
		for i, ip := range spec.ClusterIPs {
			out = append(out, utilvalidation.GetWarningsForIP(at.Child("clusterIPs").Index(i), ip)...)
		}
	}
	headless := spec.Type == corev1.ServiceTypeClusterIP && spec.ClusterIP == corev1.ClusterIPNone
	external := spec.Type == corev1.ServiceTypeExternalName
	warn := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	warn(headless && spec.LoadBalancerIP != "", "spec.loadBalancerIP is ignored for headless services")
	warn(headless && len(spec.ExternalIPs) > 0, "spec.externalIPs is ignored for headless services")
	warn(headless && spec.SessionAffinity != corev1.ServiceAffinityNone, "spec.SessionAffinity is ignored for headless services")
	for i, ip := range spec.ExternalIPs {
		out = append(out, utilvalidation.GetWarningsForIP(at.Child("externalIPs").Index(i), ip)...)
	}
	warn(len(spec.ExternalIPs) > 0 && !headless && !external,
		"spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	if spec.LoadBalancerIP != "" {
		out = append(out, utilvalidation.GetWarningsForIP(at.Child("loadBalancerIP"), spec.LoadBalancerIP)...)
	}
	for i, r := range spec.LoadBalancerSourceRanges {
		out = append(out, utilvalidation.GetWarningsForCIDR(at.Child("loadBalancerSourceRanges").Index(i), r)...)
	}
	warn(external && len(spec.ExternalIPs) > 0, `spec.externalIPs is ignored when spec.type is "ExternalName"`)
	warn(!external && spec.ExternalName != "", `spec.externalName is ignored when spec.type is not "ExternalName"`)
	if d := spec.TrafficDistribution; d != nil && *d == corev1.ServiceTrafficDistributionPreferClose {
		out = append(out, fmt.Sprintf("spec.trafficDistribution: %q is deprecated; use %q",
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone))
	}
	return out
}
