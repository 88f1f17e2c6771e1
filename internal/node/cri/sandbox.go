package cri

import (
	"fmt"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// SandboxInput is what a sandbox's configuration needs beside the pod.
type SandboxInput struct {
	Attempt  uint32
	Hostname string
	DNS      *runtimeapi.DNSConfig
	// LogsDir is the folder of all pods' logs, such as /var/log/pods.
	LogsDir string
	// CgroupParent is relative to the runtime's cgroup root.
	CgroupParent string
	// Users are the mappings of a pod with its own user namespace; nil for the host's.
	Users *runtimeapi.UserNamespace
}

// LogDirectory returns the folder of a pod's logs.
func LogDirectory(logsDir string, p *v1.Pod) string {
	return filepath.Join(logsDir, p.Namespace+"_"+p.Name+"_"+string(p.UID))
}

// SandboxConfig returns the configuration of the pod's sandbox.
func SandboxConfig(p *v1.Pod, in SandboxInput) *runtimeapi.PodSandboxConfig {
	c := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{
			Name: p.Name, Uid: string(p.UID), Namespace: p.Namespace, Attempt: in.Attempt,
		},
		LogDirectory: LogDirectory(in.LogsDir, p),
		DnsConfig:    in.DNS,
		Labels:       podLabels(p),
		Annotations:  p.Annotations,
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    in.CgroupParent,
			SecurityContext: sandboxSecurity(p, in.Users),
			Sysctls:         map[string]string{},
			Resources:       podResources(pod.Requests(p), pod.Limits(p)),
		},
	}
	if len(p.Spec.Overhead) > 0 {
		c.Linux.Overhead = podResources(p.Spec.Overhead, p.Spec.Overhead)
	}
	if !p.Spec.HostNetwork {
		c.Hostname = in.Hostname
		c.PortMappings = portMappings(p)
	}
	if sc := p.Spec.SecurityContext; sc != nil {
		for _, s := range sc.Sysctls {
			c.Linux.Sysctls[s.Name] = s.Value
		}
	}
	return c
}

func portMappings(p *v1.Pod) []*runtimeapi.PortMapping {
	var ports []*runtimeapi.PortMapping
	for _, e := range pod.Entries(p) {
		if e.Role == pod.Ephemeral || e.Role == pod.Init {
			continue
		}
		for _, port := range e.Ports {
			ports = append(ports, &runtimeapi.PortMapping{
				Protocol: protocol(port.Protocol), ContainerPort: port.ContainerPort,
				HostPort: port.HostPort, HostIp: port.HostIP,
			})
		}
	}
	return ports
}

func protocol(p v1.Protocol) runtimeapi.Protocol {
	switch p {
	case v1.ProtocolUDP:
		return runtimeapi.Protocol_UDP
	case v1.ProtocolSCTP:
		return runtimeapi.Protocol_SCTP
	default:
		return runtimeapi.Protocol_TCP
	}
}

func sandboxSecurity(p *v1.Pod, users *runtimeapi.UserNamespace) *runtimeapi.LinuxSandboxSecurityContext {
	c := &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: namespaces(p, users),
		Privileged:       anyPrivileged(p),
		// The head process itself always runs confined.
		Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
	}
	sc := p.Spec.SecurityContext
	if sc == nil {
		return c
	}
	if sc.RunAsUser != nil {
		c.RunAsUser = &runtimeapi.Int64Value{Value: *sc.RunAsUser}
	}
	if sc.RunAsGroup != nil && sc.RunAsUser != nil {
		c.RunAsGroup = &runtimeapi.Int64Value{Value: *sc.RunAsGroup}
	}
	c.SupplementalGroups, c.SupplementalGroupsPolicy = groups(sc)
	c.SelinuxOptions = selinux(sc.SELinuxOptions)
	return c
}

func groups(sc *v1.PodSecurityContext) ([]int64, runtimeapi.SupplementalGroupsPolicy) {
	var all []int64
	if sc.FSGroup != nil {
		all = append(all, *sc.FSGroup)
	}
	all = append(all, sc.SupplementalGroups...)
	policy := runtimeapi.SupplementalGroupsPolicy_Merge
	if sc.SupplementalGroupsPolicy != nil && *sc.SupplementalGroupsPolicy == v1.SupplementalGroupsPolicyStrict {
		policy = runtimeapi.SupplementalGroupsPolicy_Strict
	}
	return all, policy
}

func anyPrivileged(p *v1.Pod) bool {
	for _, e := range pod.Entries(p) {
		if sc := e.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
			return true
		}
	}
	return false
}

func namespaces(p *v1.Pod, users *runtimeapi.UserNamespace) *runtimeapi.NamespaceOption {
	o := &runtimeapi.NamespaceOption{
		Network: runtimeapi.NamespaceMode_POD, Ipc: runtimeapi.NamespaceMode_POD, Pid: runtimeapi.NamespaceMode_CONTAINER,
		UsernsOptions: users,
	}
	if p.Spec.HostNetwork {
		o.Network = runtimeapi.NamespaceMode_NODE
	}
	if p.Spec.HostIPC {
		o.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case p.Spec.HostPID:
		o.Pid = runtimeapi.NamespaceMode_NODE
	case p.Spec.ShareProcessNamespace != nil && *p.Spec.ShareProcessNamespace:
		o.Pid = runtimeapi.NamespaceMode_POD
	}
	return o
}

func selinux(o *v1.SELinuxOptions) *runtimeapi.SELinuxOption {
	if o == nil {
		return nil
	}
	return &runtimeapi.SELinuxOption{User: o.User, Role: o.Role, Type: o.Type, Level: o.Level}
}

// LogPath returns where a container's log is, relative to the pod's log folder.
func LogPath(container string, restarts uint32) string {
	return filepath.Join(container, fmt.Sprintf("%d.log", restarts))
}
