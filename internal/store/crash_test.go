package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

const crashDir = "STORE_TEST_CRASH_DIR"

// TestCrashChild is no test of its own: TestCrash runs it as a process that writes until it is killed. Each of its writers
// counts up in a key of its own and says what was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs as a child of TestCrash")
	}
	s := openReal(t, Options{DataDir: dir, SoleWriter: true})
	c := collect(t, s, pods)
	var out sync.Mutex
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			key := fmt.Sprintf("%sns/writer-%d", pods, w)
			begin := 0
			if e, found := c.Snapshot().Get(key); found {
				begin, _ = strconv.Atoi(string(e.Value))
			}
			for n := begin + 1; ; n++ {
				extra := fmt.Sprintf("%sns/writer-%d-%d", pods, w, n)
				if _, err := s.Commit(context.Background(), put(key, strconv.Itoa(n)), create(extra, strconv.Itoa(n))); err != nil {
					t.Errorf("writing: %v", err)
					return
				}
				out.Lock()
				fmt.Fprintln(os.Stderr, "acknowledged", w, n)
				out.Unlock()
			}
		})
	}
	writers.Wait()
}

// TestCrash kills a writing process again and again, and looks for every write that it had acknowledged.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[int]int{} // by writer
	for range 4 {
		writeAndKill(t, dir, rand.IntN(400)+1, acknowledged)
		s, err := Open(t.Context(), Options{DataDir: dir, Heartbeat: 5 * time.Millisecond})
		if err != nil {
			t.Fatalf("opening after a crash: %v", err)
		}
		snapshot := collect(t, s, pods).Snapshot()
		for w, n := range acknowledged {
			e, _ := snapshot.Get(fmt.Sprintf("%sns/writer-%d", pods, w))
			stored, _ := strconv.Atoi(string(e.Value))
			if stored < n {
				t.Errorf("writer %d: %d was acknowledged, %q is stored", w, n, e.Value)
			}
			for i := 1; i <= stored; i++ {
				e, found := snapshot.Get(fmt.Sprintf("%sns/writer-%d-%d", pods, w, i))
				if !found || string(e.Value) != strconv.Itoa(i) {
					t.Errorf("writer %d: of transaction %d only a part is stored", w, i)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAndKill runs a writing child, kills it after so many acknowledged writes, and notes the newest of each writer.
func writeAndKill(t *testing.T, dir string, writes int, acknowledged map[int]int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.timeout=60s")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "acknowledged %d %d", &w, &n); err != nil {
			t.Logf("child: %s", lines.Text())
			continue
		}
		acknowledged[w] = max(acknowledged[w], n)
		if seen++; seen == writes {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); seen < writes {
		t.Fatalf("child ended after %d writes: %v", seen, err)
	}
}
