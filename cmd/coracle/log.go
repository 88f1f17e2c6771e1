package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"coracle.dev/coracle/internal/cluster/config"
)

// newLogger makes the process's log. What upstream's libraries say through klog goes the same way, warnings and worse.
func newLogger(w io.Writer, cfg *config.Common) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, opts)
	if cfg.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, opts)
	}
	log := slog.New(handler)
	klog.SetLogger(logr.FromSlogHandler(handler))
	return log, nil
}
