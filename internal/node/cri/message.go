package cri

import (
	"bytes"
	"io"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Bounds of termination messages, in bytes and lines.
const (
	maxMessageBytes  = 4096
	maxFallbackBytes = 2048
	maxFallbackLines = 80
)

// exitMessage returns what an ended container has to say: the runtime's word, and what it wrote to its termination message
// file or, when its policy says so and it failed, the end of its log.
func exitMessage(s *runtimeapi.ContainerStatus) string {
	said := ""
	if path := s.Annotations[annotationMessagePath]; path != "" {
		for _, m := range s.Mounts {
			if m.ContainerPath == path {
				said = head(m.HostPath, maxMessageBytes)
			}
		}
	}
	policy := v1.TerminationMessagePolicy(s.Annotations[annotationMessagePolicy])
	if said == "" && policy == v1.TerminationMessageFallbackToLogsOnError && s.ExitCode != 0 {
		said = logEnd(s.LogPath)
	}
	if s.Message != "" && said != "" {
		return s.Message + ": " + said
	}
	return s.Message + said
}

// head returns the beginning of a regular file; empty when there is none.
func head(path string, limit int64) string {
	if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return ""
	}
	return string(data)
}

// logEnd returns the last lines of a log in the runtime's format, without its frame.
func logEnd(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	// The frame takes about 45 bytes a line.
	window := int64(maxFallbackBytes + maxFallbackLines*64)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	if _, err := f.Seek(max(size-window, 0), io.SeekStart); err != nil {
		return ""
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	if size > window {
		// The window begins inside a line.
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	var text strings.Builder
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(lines) > maxFallbackLines {
		lines = lines[len(lines)-maxFallbackLines:]
	}
	for _, line := range lines {
		// time, stream, tag, text
		fields := bytes.SplitN(line, []byte(" "), 4)
		if len(fields) < 4 {
			continue
		}
		body := fields[3]
		if bytes.HasPrefix(fields[2], []byte("P")) {
			body = bytes.TrimSuffix(body, []byte("\n"))
		}
		text.Write(body)
	}
	said := text.String()
	return said[max(len(said)-maxFallbackBytes, 0):]
}
