package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStartTime(t *testing.T) {
	tests := []struct {
		name, stat string
		want       uint64
		fails      bool
	}{
		{"plain", "7 (sh) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9", 4711, false},
		{"brackets and spaces in the name", "7 (a) b ( c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9", 4711, false},
		{"cut", "7 (sh) S 1", 0, true},
		{"empty", "", 0, true},
		{"no number", "7 (sh) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 x 9", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := startTime(tt.stat)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func sleeper(t *testing.T) process {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return p
}

func TestProcess(t *testing.T) {
	p := sleeper(t)
	if !p.alive() {
		t.Error("a process that runs is not alive")
	}
	stranger := p
	stranger.Start++
	if stranger.alive() {
		t.Error("another process with the number is taken for ours")
	}
	if err := stranger.end(t.Context(), unix.SIGKILL); err != nil || !p.alive() {
		t.Errorf("another process was hit, or %v", err)
	}
	if err := p.end(t.Context(), unix.SIGKILL); err != nil || p.alive() {
		t.Errorf("the process was not ended: %v", err)
	}
	if err := p.end(t.Context(), unix.SIGKILL); err != nil {
		t.Errorf("ending it again: %v", err)
	}
	if (process{}).alive() {
		t.Error("no process is alive")
	}
}

func TestEndGivesUp(t *testing.T) {
	p := sleeper(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A signal that does not end it.
	if err := p.end(ctx, unix.SIGCONT); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if self, err := identify(os.Getpid()); err != nil || !self.alive() {
		t.Errorf("this process is %+v, %v", self, err)
	}
}
