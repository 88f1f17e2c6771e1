package dns

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Upstreams are the node's own resolvers.
type Upstreams struct {
	Servers  []netip.AddrPort
	Timeout  time.Duration // per attempt
	Attempts int
}

// ParseResolvConf reads resolv.conf(5). Unknown lines and options are passed over, as resolvers do. Addresses in own, which would
// ask this server itself, are left out.
func ParseResolvConf(data string, own []netip.Addr) Upstreams {
	u := Upstreams{Timeout: 2 * time.Second, Attempts: 2}
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || strings.HasPrefix(fields[0], ";") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			ip, err := netip.ParseAddr(fields[1])
			if err == nil && !slices.Contains(own, ip.WithZone("").Unmap()) {
				u.Servers = append(u.Servers, netip.AddrPortFrom(ip.Unmap(), 53))
			}
		case "options":
			for _, o := range fields[1:] {
				if n, ok := option(o, "timeout:"); ok {
					u.Timeout = time.Duration(min(max(n, 1), 4)) * time.Second // a pod's resolver gives up after 5 seconds
				}
				if n, ok := option(o, "attempts:"); ok {
					u.Attempts = min(max(n, 1), 5)
				}
			}
		}
	}
	return u
}

func option(s, name string) (int, bool) {
	rest, ok := strings.CutPrefix(s, name)
	n, err := strconv.Atoi(rest)
	return n, ok && err == nil
}

// resolvConf reads the file again when it changed.
type resolvConf struct {
	path string
	own  []netip.Addr
	// mu protects the rest.
	mu      sync.Mutex
	read    bool
	modTime time.Time
	size    int64
	now     Upstreams
}

// get returns the current resolvers. A look at the file's date costs microseconds, a question to a resolver milliseconds, so no
// watch is needed.
func (r *resolvConf) get() Upstreams {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return r.now // while the file is being replaced the last ones go on
	}
	if r.read && info.ModTime().Equal(r.modTime) && info.Size() == r.size {
		return r.now
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		return r.now
	}
	r.read, r.modTime, r.size = true, info.ModTime(), info.Size()
	r.now = ParseResolvConf(string(data), r.own)
	return r.now
}
