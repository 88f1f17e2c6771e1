package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays containerd when it is called by that name: it says that it is ready and waits for SIGTERM.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "containerd" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = conn.Write([]byte("STATUS=up\nREADY=1"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ctx.Done()
	os.Exit(0)
}

func testConfig(t *testing.T) Config {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "runtime-test-") // Short: it holds a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "containerd"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Binaries: dir, Root: dir + "/root", State: dir + "/state", CNIConfDir: dir + "/net.d", LogFile: dir + "/log",
		Snapshotter: Native, PauseImage: "pause:1",
	}
}

func TestSupervisor(t *testing.T) {
	cfg := testConfig(t)
	s := New(cfg, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	first := s.PID()
	fd, err := unix.PidfdOpen(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	for again := false; !again; {
		if err := s.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		again = s.ready != ready
		s.mu.Unlock()
	}
	// The end was noticed; now the new one must come up.
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if second := s.PID(); second == first || second == 0 {
		t.Errorf("after %d was killed it is %d", first, second)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if pid := s.PID(); pid != 0 {
		t.Errorf("%d was left running", pid)
	}
}

func TestReadyGivesUp(t *testing.T) {
	s := New(testConfig(t), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(c *Config)
		want  string // part of the error
	}{
		{"good", func(*Config) {}, ""},
		{"relative", func(c *Config) { c.Root = "root" }, "not absolute"},
		{"snapshotter", func(c *Config) { c.Snapshotter = "zfs" }, "neither"},
		{"pause image", func(c *Config) { c.PauseImage = "" }, "pause image is missing"},
		{"long path", func(c *Config) { c.State = "/" + strings.Repeat("a", 100) }, "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig(t)
			tt.spoil(&c)
			err := c.validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v", err)
			}
		})
	}
	c := testConfig(t)
	c.Binaries, c.RestrictOOMScoreAdj, c.CNIBinDirs = "/b", true, []string{`/with"quote`}
	text, err := c.toml("linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`bin_dirs = ["/b", "/with\"quote"]`, `BinaryName = "/b/runc"`, "restrict_oom_score_adj = true", `snapshotter = "native"`,
		`sandbox = "pause:1"`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the configuration lacks %s:\n%s", line, text)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, "plain": `"plain"`, `a"b\c`: `"a\"b\\c"`, "tab\tend": `"tab\u0009end"`, "ü": `"ü"`,
	} {
		if got := quote(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}

func TestNextDelay(t *testing.T) {
	tests := []struct{ last, ran, want time.Duration }{
		{0, 0, firstDelay}, {firstDelay, 0, 2 * firstDelay}, {maxDelay, 0, maxDelay}, {maxDelay, steadyAfter, firstDelay},
	}
	for _, tt := range tests {
		if got := nextDelay(tt.last, tt.ran); got != tt.want {
			t.Errorf("after %s and a run of %s: %s, want %s", tt.last, tt.ran, got, tt.want)
		}
	}
}
