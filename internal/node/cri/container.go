package cri

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// ContainerInput is what a container's configuration needs beside the pod.
type ContainerInput struct {
	Restarts uint32
	// Command, Args and Env are expanded.
	Command, Args []string
	Env           []*runtimeapi.KeyValue
	Mounts        []*runtimeapi.Mount
	Devices       []*runtimeapi.Device
	// ImageRef is what the runtime calls the image that was found or pulled.
	ImageRef string
	// ImageUID and ImageUser are the user that the image names; ImageUID is nil when it names none by number.
	ImageUID  *int64
	ImageUser string
	// TargetID is the container whose processes an ephemeral container sees.
	TargetID string
	Users    *runtimeapi.UserNamespace
	// SeccompRoot is the folder of local seccomp profiles.
	SeccompRoot string
	// MemoryCapacity is the node's, in bytes.
	MemoryCapacity int64
	// Unified says that the node has cgroup v2.
	Unified bool
}

// ContainerConfig returns the configuration of one container. The error is a sentence for a waiting container's message.
func ContainerConfig(p *v1.Pod, e pod.Entry, in ContainerInput) (*runtimeapi.ContainerConfig, error) {
	if err := verifyUser(p, e, in); err != nil {
		return nil, err
	}
	annotations, err := containerAnnotations(p, e, in.Restarts)
	if err != nil {
		return nil, fmt.Errorf("annotating container %s: %w", e.Name, err)
	}
	security, err := containerSecurity(p, e, in)
	if err != nil {
		return nil, err
	}
	c := &runtimeapi.ContainerConfig{
		Metadata:   &runtimeapi.ContainerMetadata{Name: e.Name, Attempt: in.Restarts},
		Image:      &runtimeapi.ImageSpec{Image: in.ImageRef, UserSpecifiedImage: e.Image},
		Command:    in.Command,
		Args:       in.Args,
		WorkingDir: e.WorkingDir,
		Envs:       in.Env,
		Mounts:     in.Mounts,
		Devices:    in.Devices,
		Labels:     containerLabels(p, e.Name), Annotations: annotations,
		LogPath: LogPath(e.Name, in.Restarts),
		Stdin:   e.Stdin, StdinOnce: e.StdinOnce, Tty: e.TTY,
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       containerResources(p, e, in.MemoryCapacity, in.Unified),
			SecurityContext: security,
		},
	}
	if e.Lifecycle != nil && e.Lifecycle.StopSignal != nil {
		c.StopSignal = toSignal(*e.Lifecycle.StopSignal)
	}
	return c, nil
}

// verifyUser refuses to run as root where the pod forbids it.
func verifyUser(p *v1.Pod, e pod.Entry, in ContainerInput) error {
	s := effective(p, e)
	if s.runAsNonRoot == nil || !*s.runAsNonRoot {
		return nil
	}
	who := fmt.Sprintf("(pod: %q, container: %s)", pod.Describe(p), e.Name)
	switch {
	case s.runAsUser != nil && *s.runAsUser == 0:
		return fmt.Errorf("container's runAsUser breaks non-root policy %s", who)
	case s.runAsUser != nil:
		return nil
	case in.ImageUID != nil && *in.ImageUID == 0:
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", who)
	case in.ImageUID == nil && in.ImageUser != "":
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s",
			in.ImageUser, who)
	}
	return nil
}

// settings are a container's security settings, its own before its pod's.
type settings struct {
	runAsUser, runAsGroup *int64
	runAsNonRoot          *bool
	selinux               *v1.SELinuxOptions
	seccomp               *v1.SeccompProfile
	apparmor              *v1.AppArmorProfile
}

func effective(p *v1.Pod, e pod.Entry) settings {
	var s settings
	if sc := p.Spec.SecurityContext; sc != nil {
		s = settings{sc.RunAsUser, sc.RunAsGroup, sc.RunAsNonRoot, sc.SELinuxOptions, sc.SeccompProfile, sc.AppArmorProfile}
	}
	sc := e.SecurityContext
	if sc == nil {
		return s
	}
	s.runAsUser = first(sc.RunAsUser, s.runAsUser)
	s.runAsGroup = first(sc.RunAsGroup, s.runAsGroup)
	s.runAsNonRoot = first(sc.RunAsNonRoot, s.runAsNonRoot)
	s.selinux = first(sc.SELinuxOptions, s.selinux)
	s.seccomp = first(sc.SeccompProfile, s.seccomp)
	s.apparmor = first(sc.AppArmorProfile, s.apparmor)
	return s
}

func first[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

func containerSecurity(p *v1.Pod, e pod.Entry, in ContainerInput) (*runtimeapi.LinuxContainerSecurityContext, error) {
	s := effective(p, e)
	c := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(p, in.Users),
		SelinuxOptions:   selinux(s.selinux),
		Apparmor:         apparmor(s.apparmor),
		MaskedPaths:      maskedPaths(), ReadonlyPaths: readonlyPaths(),
	}
	if in.TargetID != "" {
		c.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		c.NamespaceOptions.TargetId = in.TargetID
	}
	var err error
	if c.Seccomp, err = seccomp(s.seccomp, in.SeccompRoot); err != nil {
		return nil, err
	}
	switch {
	case s.runAsUser != nil:
		c.RunAsUser = &runtimeapi.Int64Value{Value: *s.runAsUser}
	case in.ImageUID != nil:
		c.RunAsUser = &runtimeapi.Int64Value{Value: *in.ImageUID}
	default:
		c.RunAsUsername = in.ImageUser
	}
	if s.runAsGroup != nil {
		c.RunAsGroup = &runtimeapi.Int64Value{Value: *s.runAsGroup}
	}
	if psc := p.Spec.SecurityContext; psc != nil {
		c.SupplementalGroups, c.SupplementalGroupsPolicy = groups(psc)
	}
	if sc := e.SecurityContext; sc != nil {
		ownSecurity(sc, c)
	}
	return c, nil
}

// ownSecurity applies what only a container can ask for.
func ownSecurity(sc *v1.SecurityContext, c *runtimeapi.LinuxContainerSecurityContext) {
	c.Privileged = sc.Privileged != nil && *sc.Privileged
	c.ReadonlyRootfs = sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
	c.NoNewPrivs = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
	if sc.Capabilities != nil {
		c.Capabilities = &runtimeapi.Capability{}
		for _, name := range sc.Capabilities.Add {
			c.Capabilities.AddCapabilities = append(c.Capabilities.AddCapabilities, string(name))
		}
		for _, name := range sc.Capabilities.Drop {
			c.Capabilities.DropCapabilities = append(c.Capabilities.DropCapabilities, string(name))
		}
	}
	if c.Privileged || (sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount) {
		c.MaskedPaths, c.ReadonlyPaths = nil, nil
	}
}

// maskedPaths and readonlyPaths are what a default /proc mount hides and protects.
func maskedPaths() []string {
	return []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

func seccomp(profile *v1.SeccompProfile, root string) (*runtimeapi.SecurityProfile, error) {
	if profile == nil {
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	}
	switch profile.Type {
	case v1.SeccompProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case v1.SeccompProfileTypeLocalhost:
		if profile.LocalhostProfile == nil || *profile.LocalhostProfile == "" {
			return nil, errors.New("localhostProfile must be set if seccompProfile type is Localhost")
		}
		return &runtimeapi.SecurityProfile{
			ProfileType:  runtimeapi.SecurityProfile_Localhost,
			LocalhostRef: filepath.Join(root, filepath.FromSlash(*profile.LocalhostProfile)),
		}, nil
	default:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	}
}

func apparmor(profile *v1.AppArmorProfile) *runtimeapi.SecurityProfile {
	if profile == nil {
		return nil
	}
	switch profile.Type {
	case v1.AppArmorProfileTypeLocalhost:
		if profile.LocalhostProfile == nil {
			return nil
		}
		return &runtimeapi.SecurityProfile{
			ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: *profile.LocalhostProfile,
		}
	case v1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
	default:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	}
}

// toSignal turns a name such as SIGRTMIN+3 into the runtime's enumeration; unknown names give the runtime's default.
func toSignal(s v1.Signal) runtimeapi.Signal {
	name := strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(string(s))
	return runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_"+name])
}
