package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sample = `2026-01-01T00:00:01.5Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03Z stdout P e
2026-01-01T00:00:03Z stdout F e
not a log line
2026-01-01T00:00:04Z stdout F 
2026-01-01T00:00:05Z stdout F five
`

func follower() *Follower { return NewFollower(slog.New(slog.DiscardHandler)) }

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		o          Options
	}{
		{"all", "one\ntwo\nthree\n\nfive\n", Options{Tail: -1, Limit: -1}},
		{"tail", "\nfive\n", Options{Tail: 2, Limit: -1}},
		{"nothing", "", Options{Tail: 0, Limit: -1}},
		{"more than there is", "one\ntwo\nthree\n\nfive\n", Options{Tail: 99, Limit: -1}},
		{"limit", "one\nt", Options{Tail: -1, Limit: 5}},
		{"no bytes", "", Options{Tail: -1, Limit: 0}},
		{"since", "\nfive\n", Options{Tail: -1, Limit: -1, Since: time.Date(2026, 1, 1, 0, 0, 4, 0, time.UTC)}},
		{"stream", "two\n", Options{Tail: -1, Limit: -1, Stream: "stderr"}},
		{"times", "2026-01-01T00:00:05Z five\n", Options{Tail: 1, Limit: -1, Timestamps: true}},
		{
			"times of parts", "2026-01-01T00:00:03Z three\n2026-01-01T00:00:04Z \n2026-01-01T00:00:05Z five\n",
			Options{Tail: 6, Limit: -1, Timestamps: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := follower().Read(context.Background(), path, c.o, &got); err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("got %q, want %q", got.String(), c.want)
			}
		})
	}
}

// TestFollow reads a log that grows, is rotated, and ends.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	line := func(text string) string { return "2026-01-01T00:00:01Z stdout F " + text + "\n" }
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add(line("one"))
	r, w := io.Pipe()
	ended := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		err := follower().Read(context.Background(), path, Options{Follow: true, Tail: -1, Limit: -1, Ended: ended}, w)
		w.CloseWithError(err)
		done <- err
	}()
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, len(want))
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != want {
			t.Fatalf("got %q, %v, want %q", buf, err, want)
		}
	}
	expect("one\n")
	whole := line("two")
	add(whole[:30])
	add(whole[30:])
	expect("two\n")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	add(line("three"))
	expect("three\n")
	add(line("last"))
	close(ended)
	expect("last\n")
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("then got %q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "0.log")
	r := Rotation{MaxSize: 10, MaxFiles: 3}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return strings.Join(all, " ")
	}
	write("small")
	if err := r.Rotate(path, now, func() error { t.Error("reopened for nothing"); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		write(fmt.Sprintf("long enough %d", i))
		if err := r.Rotate(path, now.Add(time.Duration(i)*time.Second), func() error { write("new"); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := names(), "0.log 0.log.20260101-000002.gz 0.log.20260101-000003"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	write("long enough again")
	err := r.Rotate(path, now.Add(time.Minute), func() error { return io.ErrUnexpectedEOF })
	if data, _ := os.ReadFile(path); err == nil || string(data) != "long enough again" {
		t.Errorf("after a failure the log is %q, %v", data, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range strings.Split(sample, "\n") {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := Parse(raw)
		if err == nil && !bytes.Contains(raw, bytes.TrimSuffix(line.Text, []byte("\n"))) {
			t.Errorf("%q gave the text %q", raw, line.Text)
		}
	})
}
