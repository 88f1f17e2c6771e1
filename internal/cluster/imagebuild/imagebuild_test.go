package imagebuild

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

const dockerfile = `# a small image
FROM scratch
LABEL one=1 two="2 3"
COPY --chmod=0755 --chown=10:20 bin/web /usr/bin/
COPY static /srv
COPY static/*.html index.txt /all/
ENV PATH=/usr/bin MODE="very quiet"
ENV GREETING hello you
WORKDIR /srv
WORKDIR deeper
COPY index.txt here.txt
USER 10:20
EXPOSE 8080 53/udp
ENTRYPOINT ["/usr/bin/web", \
  "--listen"]
CMD [":8080"]
STOPSIGNAL SIGINT
`

func contextDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "Dockerfile", dockerfile, 0o644)
	write(t, dir, "bin/web", "program", 0o700)
	write(t, dir, "static/a.html", "A", 0o644)
	write(t, dir, "static/deep/b.txt", "B", 0o600)
	write(t, dir, "index.txt", "I", 0o644)
	if err := os.Symlink("a.html", filepath.Join(dir, "static", "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flatten lists the entries of an image's layers in order.
func flatten(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, layer := range layers {
		r, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(r); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text := header.FileInfo().Mode().String() + " " + header.Name
			if header.Uid != 0 || header.Gid != 0 {
				text += " owned"
			}
			if header.Linkname != "" {
				text += " -> " + header.Linkname
			}
			if !header.ModTime.Equal(time.Unix(0, 0)) {
				text += " at " + header.ModTime.String()
			}
			list = append(list, text)
		}
	}
	return list
}

func TestBuild(t *testing.T) {
	image, err := Build(Options{Context: contextDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x usr/", "drwxr-xr-x usr/bin/", "-rwxr-xr-x usr/bin/web owned",
		"drwxr-xr-x srv/", "-rw-r--r-- srv/a.html", "drwxr-xr-x srv/deep/", "-rw------- srv/deep/b.txt",
		"Lrwxrwxrwx srv/link -> a.html",
		"drwxr-xr-x all/", "-rw-r--r-- all/a.html", "-rw-r--r-- all/index.txt",
		"drwxr-xr-x srv/", "drwxr-xr-x srv/deeper/", "-rw-r--r-- srv/deeper/here.txt",
	}
	if got := flatten(t, image); !slices.Equal(got, want) {
		t.Errorf("the layers hold\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if !slices.Equal(c.Entrypoint, []string{"/usr/bin/web", "--listen"}) || !slices.Equal(c.Cmd, []string{":8080"}) {
		t.Errorf("the command is %q %q", c.Entrypoint, c.Cmd)
	}
	if !slices.Equal(c.Env, []string{"PATH=/usr/bin", "MODE=very quiet", "GREETING=hello you"}) {
		t.Errorf("the environment is %q", c.Env)
	}
	if c.WorkingDir != "/srv/deeper" || c.User != "10:20" || c.StopSignal != "SIGINT" || c.Labels["two"] != "2 3" {
		t.Errorf("the settings are %+v", c)
	}
	if _, ok := c.ExposedPorts["53/udp"]; !ok || len(c.ExposedPorts) != 2 {
		t.Errorf("the ports are %v", c.ExposedPorts)
	}
}

func TestBuildIsReproducible(t *testing.T) {
	build := func(touch time.Time) []byte {
		dir := contextDir(t)
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.Mode()&os.ModeSymlink != 0 {
				return err
			}
			return os.Chtimes(path, touch, touch)
		})
		if err != nil {
			t.Fatal(err)
		}
		image, err := Build(Options{Context: dir})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Write(&out, "example.com/web:1", image); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if !bytes.Equal(build(time.Unix(1e9, 0)), build(time.Unix(1.5e9, 0))) {
		t.Error("two builds of the same files differ")
	}
}

func TestFolder(t *testing.T) {
	folder := Folder{Dir: filepath.Join(t.TempDir(), "images")}
	if list, err := folder.List(); err != nil || len(list) != 0 {
		t.Errorf("an empty folder has %v, %v", list, err)
	}
	reference, err := Reference("web")
	if err != nil {
		t.Fatal(err)
	}
	image, err := Build(Options{Context: contextDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	built, err := folder.Save(reference, image)
	if err != nil {
		t.Fatal(err)
	}
	list, err := folder.List()
	if err != nil || len(list) != 1 || list[0] != built || built.Reference != "docker.io/library/web:latest" {
		t.Errorf("the folder has %+v (%v), saved was %+v", list, err, built)
	}
	dir := t.TempDir()
	write(t, dir, "Dockerfile", "FROM web\nCOPY extra /\nENTRYPOINT [\"/extra\"]\n", 0o644)
	write(t, dir, "extra", "E", 0o755)
	second, err := Build(Options{Context: dir, Base: folder.Base})
	if err != nil {
		t.Fatal(err)
	}
	config, err := second.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Config.Cmd) != 0 || config.Config.User != "10:20" || len(config.RootFS.DiffIDs) != 5 {
		t.Errorf("the image on top of the first is %+v", config)
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := []struct{ name, dockerfile, want string }{
		{"nothing", "", "no FROM"},
		{"comment only", "# FROM scratch\n", "no FROM"},
		{"no base first", "COPY a /\n", "line 1: the first instruction must be FROM"},
		{"stages", "FROM scratch\nFROM scratch\n", "line 2: several FROM"},
		{"run", "FROM scratch\n\nRUN apt-get update\n", "line 3: RUN is not supported"},
		{"add", "FROM scratch\nADD a /\n", "use COPY"},
		{"unknown", "FROM scratch\nHEALTHCHECK NONE\n", "HEALTHCHECK is not supported"},
		{"unknown base", "FROM debian\n", `no image "debian"`},
		{"missing file", "FROM scratch\nCOPY nothere /\n", "COPY nothere: no such file"},
		{"way out", "FROM scratch\nCOPY ../../../etc/passwd /\n", "no such file"},
		{"link out", "FROM scratch\nCOPY out/passwd /\n", "line 2"},
		{"several to a file", "FROM scratch\nCOPY a b /c\n", "ends in a slash"},
		{"copy without destination", "FROM scratch\nCOPY a\n", "destination"},
		{"owner by name", "FROM scratch\nCOPY --chown=web a /\n", "numbers"},
		{"mode", "FROM scratch\nCOPY --chmod=9 a /\n", "no octal mode"},
		{"option", "FROM scratch\nCOPY --from=0 a /\n", "does not know the option --from"},
		{"port", "FROM scratch\nEXPOSE http\n", `"http" is no port`},
		{"protocol", "FROM scratch\nEXPOSE 80/icmp\n", "no protocol"},
		{"env", "FROM scratch\nENV X\n", "NAME=VALUE"},
		{"quote", "FROM scratch\nENV X=\"y\n", "a quote is not closed"},
		{"command", "FROM scratch\nCMD [/bin/x]\n", "no list of JSON strings"},
		{"empty command", "FROM scratch\nENTRYPOINT []\n", "the command is empty"},
		{"empty value", "FROM scratch\nUSER\n", "USER needs a value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "Dockerfile", tt.dockerfile, 0o644)
			write(t, dir, "a", "A", 0o644)
			write(t, dir, "b", "B", 0o644)
			if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			if _, err := Build(Options{Context: dir}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReference(t *testing.T) {
	tests := []struct{ in, want string }{
		{"web", "docker.io/library/web:latest"},
		{"me/web:1", "docker.io/me/web:1"},
		{"example.com/web", "example.com/web:latest"},
		{"localhost:5000/a/b:c", "localhost:5000/a/b:c"},
		{"coracle.dev/pause:1", "coracle.dev/pause:1"},
		{"Web", ""},
		{"", ""},
		{"a:b:c", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := Reference(tt.in)
			if got != tt.want || (err == nil) == (tt.want == "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(dockerfile)
	f.Add("FROM scratch\nCOPY [\"a b\", \"/\"]\n")
	f.Add("FROM x\nENV A='b c' D=\"e\"\n\\")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		settings := &Settings{Ports: map[string]struct{}{}, Labels: map[string]string{}}
		for _, step := range spec.Steps {
			if (step.Copy == nil) == (step.Apply == nil) {
				t.Fatalf("line %d is neither a copy nor a setting", step.Line)
			}
			if step.Apply != nil {
				step.Apply(settings)
			} else if !filepath.IsAbs(step.Copy.Destination) {
				t.Fatalf("line %d copies to %q", step.Line, step.Copy.Destination)
			}
		}
	})
}
