package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	cacheEntries = 8192
	maxTTL       = time.Hour
	// maxNegativeTTL is the limit that RFC 2308 calls sensible at most; failures are remembered only to damp storms.
	maxNegativeTTL = 5 * time.Minute
	failureTTL     = 2 * time.Second
)

// cacheKey is a question; the name in lower case. Signed answers are kept apart.
type cacheKey struct {
	name   string
	qtype  uint16
	dnssec bool
}

type cached struct {
	key     cacheKey
	msg     *dns.Msg // immutable
	stored  time.Time
	expires time.Time
}

// cache remembers answers of others, the least recently used ones the shortest. Safe for concurrent use.
type cache struct {
	now func() time.Time
	max int

	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	order   *list.List // the most recently used in front
}

func newCache(limit int, now func() time.Time) *cache {
	return &cache{now: now, max: limit, entries: map[cacheKey]*list.Element{}, order: list.New()}
}

// get returns a copy of a remembered answer, its records aged.
func (c *cache) get(k cacheKey) *dns.Msg {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[k]
	if el == nil {
		return nil
	}
	e := el.Value.(*cached)
	now := c.now()
	if !now.Before(e.expires) {
		c.order.Remove(el)
		delete(c.entries, k)
		return nil
	}
	c.order.MoveToFront(el)
	msg := e.msg.Copy()
	age := uint32(now.Sub(e.stored) / time.Second)
	for _, section := range [][]dns.RR{msg.Answer, msg.Ns, msg.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return msg
}

// put remembers an answer for as long as it allows. The message must not be changed afterwards.
func (c *cache) put(k cacheKey, msg *dns.Msg) {
	ttl := lifetime(msg)
	if ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e := &cached{key: k, msg: msg, stored: now, expires: now.Add(ttl)}
	if el := c.entries[k]; el != nil {
		el.Value = e
		c.order.MoveToFront(el)
		return
	}
	c.entries[k] = c.order.PushFront(e)
	for len(c.entries) > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.entries, last.Value.(*cached).key)
	}
}

// lifetime is how long an answer may be remembered. Pure.
func lifetime(msg *dns.Msg) time.Duration {
	if msg.Truncated {
		return 0
	}
	if msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError {
		return failureTTL
	}
	lowest := uint32(maxTTL / time.Second)
	limit := maxTTL
	if msg.Rcode == dns.RcodeNameError || len(msg.Answer) == 0 {
		limit = maxNegativeTTL
		found := false
		for _, rr := range msg.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				lowest, found = min(lowest, soa.Hdr.Ttl, soa.Minttl), true
			}
		}
		if !found {
			return failureTTL
		}
	}
	for _, rr := range msg.Answer {
		lowest = min(lowest, rr.Header().Ttl)
	}
	return min(time.Duration(lowest)*time.Second, limit)
}
