package cgroups

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Hierarchy is a mounted cgroup hierarchy.
type Hierarchy struct {
	// Mountpoint on the machine, such as /sys/fs/cgroup/memory.
	Mountpoint string `json:"mountpoint"`
	// Options to mount it again, such as "memory" or "none,name=systemd"; empty for version 2.
	Options string `json:"options,omitempty"`
}

// V2 tells whether it is the version 2 hierarchy.
func (h Hierarchy) V2() bool { return h.Options == "" }

// Has tells whether a version 1 hierarchy carries a controller.
func (h Hierarchy) Has(controller string) bool {
	return slices.Contains(strings.Split(h.Options, ","), controller)
}

// Parse reads the hierarchies from the content of /proc/PID/mountinfo; see proc_pid_mountinfo(5). Of several mounts of one
// hierarchy the first counts.
func Parse(mountinfo io.Reader) ([]Hierarchy, error) {
	var list []Hierarchy
	seen := map[string]bool{}
	scanner := bufio.NewScanner(mountinfo)
	for scanner.Scan() {
		front, back, found := strings.Cut(scanner.Text(), " - ")
		fields, tail := strings.Fields(front), strings.Fields(back)
		if !found || len(fields) < 5 || len(tail) < 3 {
			return nil, fmt.Errorf("mountinfo: the line %q has no known form", scanner.Text())
		}
		h := Hierarchy{Mountpoint: unescape(fields[4])}
		switch tail[0] {
		case "cgroup":
			h.Options = options(tail[2])
		case "cgroup2":
		default:
			continue
		}
		if !seen[h.Options] {
			seen[h.Options] = true
			list = append(list, h)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading mountinfo: %w", err)
	}
	return list, nil
}

// options keeps of a mount's options what names the hierarchy.
func options(super string) string {
	var names []string
	named := false
	for _, option := range strings.Split(super, ",") {
		switch {
		case strings.HasPrefix(option, "name="):
			named = true
			names = append(names, option)
		case slices.Contains([]string{"rw", "ro", "xattr", "none", "noprefix", "clone_children"}, option),
			strings.HasPrefix(option, "release_agent="):
		default:
			names = append(names, option)
		}
	}
	if named && len(names) == 1 {
		return "none," + names[0]
	}
	return strings.Join(names, ",")
}

// unescape undoes the octal escapes that mountinfo uses for spaces and the like.
func unescape(text string) string {
	for _, pair := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}
