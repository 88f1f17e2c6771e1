package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// MountOptions say how a container's mounts are made.
type MountOptions struct {
	// Expand replaces $(VAR) in subPathExpr; found is false when a variable is unknown.
	Expand func(s string) (expanded string, found bool)
	// RecursiveReadOnly says that the runtime can make whole trees read-only.
	RecursiveReadOnly bool
	// ImageRef returns what the runtime calls the image of an image volume.
	ImageRef func(volume string) (string, bool)
}

// Mounts returns the mounts of a container's volumeMounts.
func (m *Manager) Mounts(p *v1.Pod, c *v1.Container, o MountOptions) ([]*runtimeapi.Mount, error) {
	var mounts []*runtimeapi.Mount
	for i := range c.VolumeMounts {
		vm := &c.VolumeMounts[i]
		k := slices.IndexFunc(p.Spec.Volumes, func(v v1.Volume) bool { return v.Name == vm.Name })
		if k < 0 {
			return nil, fmt.Errorf("cannot find volume %q to mount into container %q", vm.Name, c.Name)
		}
		mount, err := m.one(p, c, &p.Spec.Volumes[k], vm, i, o)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

func (m *Manager) one(
	p *v1.Pod, c *v1.Container, v *v1.Volume, vm *v1.VolumeMount, index int, o MountOptions,
) (*runtimeapi.Mount, error) {
	path := vm.MountPath
	if !filepath.IsAbs(path) {
		path = "/" + path
	}
	mount := &runtimeapi.Mount{
		ContainerPath: path, Readonly: vm.ReadOnly || fromAPI(v), Propagation: propagation(vm.MountPropagation),
	}
	var err error
	if mount.RecursiveReadOnly, err = recursive(vm, o.RecursiveReadOnly); err != nil {
		return nil, err
	}
	sub, err := subPathOf(vm, o.Expand)
	if err != nil {
		return nil, err
	}
	if v.Image != nil {
		ref, ok := o.ImageRef(v.Name)
		if !ok {
			return nil, fmt.Errorf("image of volume %q is not on the node", v.Name)
		}
		mount.Image = &runtimeapi.ImageSpec{Image: ref, UserSpecifiedImage: v.Image.Reference}
		mount.ImageSubPath, mount.Readonly = sub, true
		return mount, nil
	}
	mount.HostPath = m.hostPath(p.UID, v)
	if sub != "" {
		if mount.HostPath, err = m.subPath(p.UID, v.Name, c.Name, mount.HostPath, sub, index); err != nil {
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", vm.Name, c.Name, err)
		}
		return mount, nil
	}
	if v.HostPath != nil {
		// The runtime binds only what exists; an untyped hostPath that does not becomes a folder, as upstream's runtimes do.
		if _, err := os.Stat(mount.HostPath); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(mount.HostPath, 0o755); err != nil { //nolint:gosec // as above
				return nil, fmt.Errorf("making hostPath %s: %w", mount.HostPath, err)
			}
		}
	}
	return mount, nil
}

func (m *Manager) hostPath(uid types.UID, v *v1.Volume) string {
	if v.HostPath != nil {
		return v.HostPath.Path
	}
	return m.dir(uid, v)
}

// Path returns the folder of the pod's volume of that name.
func (m *Manager) Path(p *v1.Pod, name string) (string, bool) {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Name == name {
			return m.hostPath(p.UID, &p.Spec.Volumes[i]), true
		}
	}
	return "", false
}

// fromAPI says that a volume's content is the API's and not the pod's to change.
func fromAPI(v *v1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
}

func subPathOf(vm *v1.VolumeMount, expand func(string) (string, bool)) (string, error) {
	sub := vm.SubPath
	if vm.SubPathExpr != "" {
		expanded, found := expand(vm.SubPathExpr)
		if !found {
			return "", fmt.Errorf("missing value for %q", vm.SubPathExpr)
		}
		sub = expanded
	}
	switch {
	case sub == "":
		return "", nil
	case filepath.IsAbs(sub):
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", sub)
	case slices.Contains(strings.Split(sub, "/"), ".."):
		return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", sub)
	}
	return sub, nil
}

func propagation(mode *v1.MountPropagationMode) runtimeapi.MountPropagation {
	if mode == nil {
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
	}
	switch *mode {
	case v1.MountPropagationHostToContainer:
		return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case v1.MountPropagationBidirectional:
		return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
	default:
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
	}
}

func recursive(vm *v1.VolumeMount, supported bool) (bool, error) {
	if vm.RecursiveReadOnly == nil {
		return false, nil
	}
	switch *vm.RecursiveReadOnly {
	case v1.RecursiveReadOnlyEnabled:
		if !supported {
			return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime",
				vm.Name)
		}
		return true, nil
	case v1.RecursiveReadOnlyIfPossible:
		return supported, nil
	default:
		return false, nil
	}
}
