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
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/node/downward"
)

// source is a Source of maps.
type source struct {
	configMaps map[string]map[string]string
	secrets    map[string]map[string]string
	issued     int
	now        func() time.Time
}

func (s *source) ConfigMap(_ context.Context, _, name string) (*v1.ConfigMap, error) {
	if data, ok := s.configMaps[name]; ok {
		return &v1.ConfigMap{Data: data}, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
}

func (s *source) Secret(_ context.Context, _, name string) (*v1.Secret, error) {
	if data, ok := s.secrets[name]; ok {
		secret := &v1.Secret{Data: map[string][]byte{}}
		for k, v := range data {
			secret.Data[k] = []byte(v)
		}
		return secret, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

func (s *source) Token(context.Context, *v1.Pod, string, int64) (Token, error) {
	s.issued++
	return Token{Value: strings.Repeat("t", s.issued), Issued: s.now(), Expires: s.now().Add(time.Hour)}, nil
}

func (s *source) TrustBundle(context.Context, *v1.ClusterTrustBundleProjection) ([]byte, error) {
	return nil, errors.New("none")
}

// mounter remembers what was mounted; binding makes the target a link, so that its content can be looked at.
type mounter struct {
	mounts []string
	stuck  bool
}

func (m *mounter) Tmpfs(dir string, _ int64) error { m.mounts = append(m.mounts, dir); return nil }

func (m *mounter) Bind(fd int, target string) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	m.mounts = append(m.mounts, target)
	return os.WriteFile(target+".bound", []byte(path), 0o600)
}

func (m *mounter) Unmount(path string) error {
	if m.stuck {
		return unix.EBUSY
	}
	i := slices.Index(m.mounts, path)
	if i < 0 {
		return unix.EINVAL
	}
	m.mounts = slices.Delete(m.mounts, i, i+1)
	return nil
}

func (m *mounter) Below(dir string) ([]string, error) {
	var below []string
	for _, path := range m.mounts {
		if strings.HasPrefix(path, dir+"/") {
			below = append(below, path)
		}
	}
	return below, nil
}

type fixture struct {
	*Manager
	src *source
	mnt *mounter
	now time.Time
}

func setUp(t *testing.T) *fixture {
	f := &fixture{mnt: &mounter{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return f.now }
	f.src = &source{now: clock, configMaps: map[string]map[string]string{}, secrets: map[string]map[string]string{}}
	f.Manager = New(Config{RootDir: t.TempDir(), Source: f.src, Mounter: f.mnt, Now: clock, Logger: slog.New(slog.DiscardHandler)})
	return f
}

func podWith(t *testing.T, spec string) *v1.Pod {
	t.Helper()
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "u1", Labels: map[string]string{"a": "b"}}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fixture) mount(t *testing.T, p *v1.Pod) {
	t.Helper()
	if _, err := f.Mount(context.Background(), p, downward.Facts{Pod: p}); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files that a container would see, with content and mode.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		root, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name := e.Name() + strings.TrimPrefix(path, root)
			lines = append(lines, name+" "+info.Mode().String()+" "+string(data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(lines, "\n")
}

const twoVolumes = `
volumes:
- name: cm
  configMap: {name: cm, defaultMode: 0600}
- name: all
  projected:
    defaultMode: 0640
    sources:
    - secret: {name: s, items: [{key: pw, path: deep/pw, mode: 0400}]}
    - configMap: {name: gone, optional: true}
    - serviceAccountToken: {path: token}
    - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
- name: unused
  configMap: {name: nobody}
containers:
- name: main
  volumeMounts: [{name: cm, mountPath: /cm}, {name: all, mountPath: /all}]
`

func TestMountWritesAndRefreshes(t *testing.T) {
	f := setUp(t)
	f.src.configMaps["cm"] = map[string]string{"a": "1", "b": "2"}
	f.src.secrets["s"] = map[string]string{"pw": "hush", "other": "x"}
	p := podWith(t, twoVolumes)
	f.mount(t, p)
	cm, _ := f.Path(p, "cm")
	all, _ := f.Path(p, "all")
	if got, want := tree(t, cm), "a -rw------- 1\nb -rw------- 2"; got != want {
		t.Errorf("got\n%s", got)
	}
	if got, want := tree(t, all), "deep/pw -r-------- hush\nlabels -rw-r----- a=\"b\"\ntoken -rw-r----- t"; got != want {
		t.Errorf("got\n%s", got)
	}
	before, err := os.Readlink(filepath.Join(cm, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	f.mount(t, p)
	if after, _ := os.Readlink(filepath.Join(cm, dataLink)); after != before {
		t.Error("an unchanged volume was written again")
	}
	f.src.configMaps["cm"] = map[string]string{"a": "3", "c": "4"}
	f.mount(t, p)
	if got, want := tree(t, cm), "a -rw------- 3\nc -rw------- 4"; got != want {
		t.Errorf("after a change got\n%s", got)
	}
	versions, _ := filepath.Glob(filepath.Join(cm, "..version-*"))
	if len(versions) != 1 {
		t.Errorf("%d versions remain", len(versions))
	}
}

func TestTokenIsRenewedInTime(t *testing.T) {
	f := setUp(t)
	f.src.configMaps["cm"] = map[string]string{}
	f.src.secrets["s"] = map[string]string{"pw": "hush"}
	p := podWith(t, twoVolumes)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {47 * time.Minute, 1}, {2 * time.Minute, 2}} {
		f.now = f.now.Add(c.after)
		f.mount(t, p)
		if f.src.issued != c.want {
			t.Errorf("after %v: %d tokens issued, want %d", c.after, f.src.issued, c.want)
		}
	}
}

func TestMountReportsEachFailure(t *testing.T) {
	f := setUp(t)
	p := podWith(t, `
volumes:
- {name: cm, configMap: {name: gone}}
- {name: key, configMap: {name: cm, items: [{key: lost, path: x}]}}
- {name: claim, persistentVolumeClaim: {claimName: data}}
- {name: file, hostPath: {path: /nowhere/at/all, type: File}}
- {name: fine, emptyDir: {}}
containers:
- name: main
  volumeMounts:
  - {name: cm, mountPath: /a}
  - {name: key, mountPath: /b}
  - {name: claim, mountPath: /c}
  - {name: file, mountPath: /d}
  - {name: fine, mountPath: /e}
`)
	f.src.configMaps["cm"] = map[string]string{"a": "1"}
	_, err := f.Mount(context.Background(), p, downward.Facts{Pod: p})
	want := `MountVolume.SetUp failed for volume "cm" : configmaps "gone" not found
MountVolume.SetUp failed for volume "key" : volume references non-existent configmap key: lost
MountVolume.SetUp failed for volume "claim" : no storage driver on this node handles volumes of this kind (persistentVolumeClaim data)
MountVolume.SetUp failed for volume "file" : hostPath type check failed: /nowhere/at/all is not a file`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v", err)
	}
	if path, _ := f.Path(p, "fine"); !exists(path) {
		t.Error("the volume that can be set up was not")
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestAtomicRefusesEscapes(t *testing.T) {
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../../x", "..data", "."} {
		dir := t.TempDir()
		if err := writeAtomically(dir, map[string]file{name: {data: []byte("x"), mode: 0o600}}, nil); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func TestEmptyDirKeepsItsContent(t *testing.T) {
	f := setUp(t)
	p := podWith(t, `
volumes: [{name: tmp, emptyDir: {}}, {name: mem, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
containers: [{name: main, volumeMounts: [{name: tmp, mountPath: /tmp}, {name: mem, mountPath: /mem}]}]
`)
	f.mount(t, p)
	tmp, _ := f.Path(p, "tmp")
	mem, _ := f.Path(p, "mem")
	if info, err := os.Stat(tmp); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if !slices.Equal(f.mnt.mounts, []string{mem}) {
		t.Errorf("mounted %q", f.mnt.mounts)
	}
	if err := os.WriteFile(filepath.Join(tmp, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.mount(t, p)
	if !exists(filepath.Join(tmp, "x")) || len(f.mnt.mounts) != 1 {
		t.Error("mounting again changed an emptyDir")
	}
	f.mnt.stuck = true
	if err := f.Unmount(p.UID); err == nil || !exists(filepath.Join(tmp, "x")) {
		t.Error("content was deleted though a mount remained")
	}
	f.mnt.stuck = false
	if err := f.Forget(p.UID); err != nil || exists(f.PodDir(p.UID)) {
		t.Errorf("the pod's folder remains: %v", err)
	}
}

func TestFSGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may give files to a group")
	}
	f := setUp(t)
	f.src.configMaps["cm"] = map[string]string{"a": "1"}
	p := podWith(t, `
securityContext: {fsGroup: 4321}
volumes: [{name: tmp, emptyDir: {}}, {name: cm, configMap: {name: cm, defaultMode: 0600}}]
containers: [{name: main, volumeMounts: [{name: tmp, mountPath: /tmp}, {name: cm, mountPath: /cm}]}]
`)
	f.mount(t, p)
	tmp, _ := f.Path(p, "tmp")
	cm, _ := f.Path(p, "cm")
	for path, want := range map[string]fs.FileMode{
		tmp: 0o777 | fs.ModeDir | fs.ModeSetgid, filepath.Join(cm, "a"): 0o640,
	} {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		info, _ := os.Stat(path)
		if info.Mode() != want || st.Gid != 4321 {
			t.Errorf("%s: mode %v group %d", path, info.Mode(), st.Gid)
		}
	}
}

func TestSubPathStaysInside(t *testing.T) {
	f := setUp(t)
	outside := t.TempDir()
	p := podWith(t, `
volumes: [{name: tmp, emptyDir: {}}]
containers: [{name: main, volumeMounts: [{name: tmp, mountPath: /tmp}]}]
`)
	f.mount(t, p)
	root, _ := f.Path(p, "tmp")
	for _, link := range []struct{ name, to string }{{"abs", outside}, {"up", "../../../../../../../../.." + outside}} {
		if err := os.Symlink(link.to, filepath.Join(root, link.name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"new/deep", "abs/made", "up/made"} {
		target, err := f.subPath(p.UID, "tmp", "main", root, sub, 0)
		if err != nil {
			continue // refused is as good as confined
		}
		bound, err := os.ReadFile(target + ".bound")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(bound), root+"/") {
			t.Errorf("%s was bound to %s", sub, bound)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("something was made outside: %v", entries)
	}
	if !exists(filepath.Join(root, "new/deep")) {
		t.Error("a missing subPath was not made")
	}
}

func TestMounts(t *testing.T) {
	f := setUp(t)
	f.src.configMaps["cm"] = map[string]string{"a": "1"}
	p := podWith(t, `
volumes: [{name: tmp, emptyDir: {}}, {name: cm, configMap: {name: cm}}]
containers:
- name: main
  volumeMounts:
  - {name: tmp, mountPath: /tmp, mountPropagation: Bidirectional}
  - {name: cm, mountPath: cm}
  - {name: tmp, mountPath: /sub, subPathExpr: "logs/$(POD)"}
`)
	f.mount(t, p)
	mounts, err := f.Mounts(p, &p.Spec.Containers[0], MountOptions{
		Expand: func(s string) (string, bool) { return strings.ReplaceAll(s, "$(POD)", "web"), true },
	})
	if err != nil {
		t.Fatal(err)
	}
	if m := mounts[0]; m.Readonly || m.Propagation.String() != "PROPAGATION_BIDIRECTIONAL" {
		t.Errorf("got %v", m)
	}
	if m := mounts[1]; !m.Readonly || m.ContainerPath != "/cm" {
		t.Errorf("got %v", m)
	}
	if tmp, _ := f.Path(p, "tmp"); !exists(filepath.Join(tmp, "logs/web")) || mounts[2].HostPath == tmp {
		t.Errorf("got %v", mounts[2])
	}
}
