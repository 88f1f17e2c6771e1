package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/node/downward"
)

// Config of a Manager.
type Config struct {
	// RootDir is the agent's folder; pods are below RootDir/pods.
	RootDir string
	Source  Source
	Mounter Mounter
	Now     func() time.Time
	Logger  *slog.Logger
}

// Manager sets volumes up and takes them down. Safe for concurrent use on different pods.
type Manager struct {
	cfg      Config
	tokens   *tokens
	diskOnce sync.Once
}

// New returns a manager.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, tokens: &tokens{src: cfg.Source, now: cfg.Now, of: map[types.UID]map[string]Token{}}}
}

// PodDir returns the folder of a pod.
func (m *Manager) PodDir(uid types.UID) string {
	return filepath.Join(m.cfg.RootDir, "pods", string(uid))
}

// Error is a volume that could not be set up, with the words of an event.
type Error struct {
	Volume string
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("MountVolume.SetUp failed for volume %q : %v", e.Volume, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Mount puts every volume that a container of the pod uses in place, or brings its content up to date. It goes on after a
// failure; the error joins an *Error per volume. refresh is when a token is due; zero for never.
func (m *Manager) Mount(ctx context.Context, p *v1.Pod, facts downward.Facts) (refresh time.Time, err error) {
	used := usedVolumes(p)
	var failures []error
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if !used[v.Name] {
			continue
		}
		if err := m.mount(ctx, p, v, facts); err != nil {
			failures = append(failures, &Error{Volume: v.Name, Err: err})
		}
	}
	return m.tokens.due(p.UID), errors.Join(failures...)
}

func usedVolumes(p *v1.Pod) map[string]bool {
	used := map[string]bool{}
	note := func(mounts []v1.VolumeMount, env []v1.EnvVar) {
		for _, mount := range mounts {
			used[mount.Name] = true
		}
		for i := range env {
			if from := env[i].ValueFrom; from != nil && from.FileKeyRef != nil {
				used[from.FileKeyRef.VolumeName] = true
			}
		}
	}
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			note(list[i].VolumeMounts, list[i].Env)
		}
	}
	for i := range p.Spec.EphemeralContainers {
		note(p.Spec.EphemeralContainers[i].VolumeMounts, p.Spec.EphemeralContainers[i].Env)
	}
	return used
}

func (m *Manager) mount(ctx context.Context, p *v1.Pod, v *v1.Volume, facts downward.Facts) error {
	b := &builder{src: m.cfg.Source, tokens: m.tokens, pod: p, facts: facts, files: map[string]file{}, mode: 0o644}
	var err error
	switch {
	case v.EmptyDir != nil:
		return m.emptyDir(p, v)
	case v.HostPath != nil:
		return checkHostPath(v.HostPath)
	case v.Image != nil:
		return nil // the runtime mounts it
	case v.ConfigMap != nil:
		b.mode = mode(v.ConfigMap.DefaultMode, b.mode)
		err = b.configMap(ctx, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
	case v.Secret != nil:
		b.mode = mode(v.Secret.DefaultMode, b.mode)
		err = b.secret(ctx, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
	case v.DownwardAPI != nil:
		b.mode = mode(v.DownwardAPI.DefaultMode, b.mode)
		err = b.downward(v.DownwardAPI.Items)
	case v.Projected != nil:
		b.mode = mode(v.Projected.DefaultMode, b.mode)
		err = b.projected(ctx, v.Projected)
	default:
		return fmt.Errorf("no storage driver on this node handles volumes of this kind (%s)", kindOf(v))
	}
	if err != nil {
		return err
	}
	return m.write(p, v, b.files)
}

// kindOf names the source of a volume that nobody here handles.
func kindOf(v *v1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "persistentVolumeClaim " + v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return "ephemeral"
	case v.CSI != nil:
		return "csi " + v.CSI.Driver
	case v.NFS != nil:
		return "nfs"
	case v.ISCSI != nil:
		return "iscsi"
	case v.FC != nil:
		return "fc"
	}
	return "unknown"
}

// write makes the volume's folder hold the files.
func (m *Manager) write(p *v1.Pod, v *v1.Volume, files map[string]file) error {
	dir := m.dir(p.UID, v)
	fresh, err := makeDir(dir, 0o777)
	if err != nil {
		return err
	}
	if fresh && v.ConfigMap == nil {
		m.inMemory(dir)
	}
	return writeAtomically(dir, files, func(version string) error {
		group := fsGroup(p)
		if group == nil {
			return nil
		}
		return giveToGroup(version, *group, 0o440)
	})
}

// inMemory keeps what may be secret off the disk, where the node can.
func (m *Manager) inMemory(dir string) {
	if err := m.cfg.Mounter.Tmpfs(dir, 0); err != nil {
		m.diskOnce.Do(func() {
			m.cfg.Logger.Warn("secrets of pods are kept on disk, for tmpfs can't be mounted here", "err", err)
		})
	}
}

// emptyDir makes the folder once; what is in it stays.
func (m *Manager) emptyDir(p *v1.Pod, v *v1.Volume) error {
	dir := m.dir(p.UID, v)
	fresh, err := makeDir(dir, 0o777)
	if err != nil {
		return err
	}
	if !fresh {
		// An agent that died at the wrong moment left the folder without its file system.
		if v.EmptyDir.Medium != v1.StorageMediumMemory || m.isMounted(p.UID, dir) {
			return nil
		}
	}
	switch medium := v.EmptyDir.Medium; {
	case medium == v1.StorageMediumDefault:
	case medium == v1.StorageMediumMemory:
		size := int64(0)
		if v.EmptyDir.SizeLimit != nil {
			size = v.EmptyDir.SizeLimit.Value()
		}
		if err := m.cfg.Mounter.Tmpfs(dir, size); err != nil {
			return errors.Join(fmt.Errorf("mounting tmpfs: %w", err), os.Remove(dir))
		}
	default:
		return errors.Join(fmt.Errorf("unknown storage medium %q", medium), os.Remove(dir))
	}
	if group := fsGroup(p); group != nil {
		if err := giveToGroup(dir, *group, 0o660); err != nil {
			return err
		}
	}
	return nil
}

func (m *Manager) isMounted(uid types.UID, dir string) bool {
	mounted, err := m.cfg.Mounter.Below(m.PodDir(uid))
	return err != nil || slices.Contains(mounted, dir)
}

// makeDir makes a folder with exactly that mode and says whether it was not there before.
func makeDir(dir string, perm os.FileMode) (fresh bool, err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return false, fmt.Errorf("making the folder of volumes: %w", err)
	}
	err = os.Mkdir(dir, perm)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("making the volume's folder: %w", err)
	}
	return true, os.Chmod(dir, perm)
}

// giveToGroup lets a group use a tree as upstream does: it owns everything, gets the rights, and new files are its own too.
func giveToGroup(root string, gid int64, rights os.FileMode) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, -1, int(gid)); err != nil {
			return fmt.Errorf("giving %s to group %d: %w", path, gid, err)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		perm := info.Mode().Perm() | rights
		if d.IsDir() {
			perm |= os.ModeSetgid | 0o110
		}
		return os.Chmod(path, perm)
	})
}

// dir returns the folder of a volume.
func (m *Manager) dir(uid types.UID, v *v1.Volume) string {
	kind := "unknown"
	switch {
	case v.EmptyDir != nil:
		kind = "empty-dir"
	case v.ConfigMap != nil:
		kind = "configmap"
	case v.Secret != nil:
		kind = "secret"
	case v.Projected != nil:
		kind = "projected"
	case v.DownwardAPI != nil:
		kind = "downward-api"
	}
	return filepath.Join(m.PodDir(uid), "volumes", "kubernetes.io~"+kind, v.Name)
}

// Unmount takes all volumes of a pod down. It deletes nothing while anything is still mounted below the pod's folder.
func (m *Manager) Unmount(uid types.UID) error {
	m.tokens.forget(uid)
	root := m.PodDir(uid)
	mounted, err := m.cfg.Mounter.Below(root)
	if err != nil {
		return fmt.Errorf("looking for mounts below %s: %w", root, err)
	}
	for i := len(mounted) - 1; i >= 0; i-- {
		if err := m.cfg.Mounter.Unmount(mounted[i]); err != nil {
			return fmt.Errorf("unmounting %s: %w", mounted[i], err)
		}
	}
	if mounted, err = m.cfg.Mounter.Below(root); err != nil || len(mounted) > 0 {
		return errors.Join(fmt.Errorf("still mounted below %s: %s", root, strings.Join(mounted, ", ")), err)
	}
	for _, name := range []string{"volumes", "volume-subpaths"} {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			return fmt.Errorf("removing the volumes of pod %s: %w", uid, err)
		}
	}
	return nil
}

// Forget removes a pod's folder, after Unmount.
func (m *Manager) Forget(uid types.UID) error {
	if err := m.Unmount(uid); err != nil {
		return err
	}
	return os.RemoveAll(m.PodDir(uid))
}

// Pods returns the UIDs that have a folder.
func (m *Manager) Pods() ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(m.cfg.RootDir, "pods"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the folders of pods: %w", err)
	}
	uids := make([]types.UID, len(entries))
	for i, e := range entries {
		uids[i] = types.UID(e.Name())
	}
	return uids, nil
}

// Due returns when the first token of the pod is to be renewed; zero for never.
func (m *Manager) Due(uid types.UID) time.Time { return m.tokens.due(uid) }
