package events

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Upstream's limits against floods.
const (
	similarMost   = 10               // events that differ only in their message, within similarWithin, before they are combined
	similarWithin = 10 * time.Minute // and how long they are remembered
	burst         = 25               // events about one object that pass at once
	refill        = 5 * time.Minute  // and how long one more takes
	remembered    = 4096             // keys kept; the oldest go

	combinedPrefix = "(combined from similar events): "
)

// outcome is what to do with a fact.
type outcome struct {
	drop bool
	// update names an earlier Event to count up; nil creates a new one.
	update  *corev1.Event
	message string
	key     string // under which the written Event is remembered
}

// correlator decides, without clock or I/O, whether a fact is new, a repetition or noise. Not safe for concurrent use.
type correlator struct {
	same    *memory[*corev1.Event]
	similar *memory[similarity]
	buckets *memory[bucket]
	stamp   int64 // the last Event's name ends with it
}

type similarity struct {
	messages map[string]bool
	last     time.Time
}

type bucket struct {
	tokens float64
	last   time.Time
}

func newCorrelator() *correlator {
	return &correlator{
		same: newMemory[*corev1.Event](remembered), similar: newMemory[similarity](remembered),
		buckets: newMemory[bucket](remembered),
	}
}

// judge decides on a fact.
func (c *correlator) judge(f *fact) outcome {
	if !c.passes(f) {
		return outcome{drop: true}
	}
	o := outcome{message: f.message, key: f.key(f.message)}
	if c.flooded(f) {
		// Whatever its message, one more of these counts up the same combined Event.
		o.message, o.key = combinedPrefix+f.message, f.key(combinedPrefix)
	}
	o.update, _ = c.same.get(o.key)
	return o
}

func (c *correlator) passes(f *fact) bool {
	key := f.about()
	b, ok := c.buckets.get(key)
	if !ok {
		b = bucket{tokens: burst, last: f.at}
	}
	b.tokens = min(burst, b.tokens+float64(f.at.Sub(b.last))/float64(refill))
	b.last = f.at
	pass := b.tokens >= 1
	if pass {
		b.tokens--
	}
	c.buckets.put(key, b)
	return pass
}

// name returns a name for a new Event about the object. Several facts may have the same time.
func (c *correlator) name(f *fact) string {
	c.stamp = max(c.stamp+1, f.at.UnixNano())
	return fmt.Sprintf("%s.%x", f.ref.Name, c.stamp)
}

// flooded counts the different messages of otherwise equal facts.
func (c *correlator) flooded(f *fact) bool {
	key := f.key("")
	s, ok := c.similar.get(key)
	if !ok || f.at.Sub(s.last) > similarWithin {
		s = similarity{messages: map[string]bool{}}
	}
	s.last = f.at
	if len(s.messages) < similarMost {
		s.messages[f.message] = true
	}
	c.similar.put(key, s)
	return len(s.messages) >= similarMost
}

func (f *fact) about() string {
	r := f.ref
	return strings.Join([]string{r.Kind, r.Namespace, r.Name, string(r.UID), r.APIVersion}, "\x00")
}

func (f *fact) key(message string) string {
	return strings.Join([]string{f.about(), f.ref.FieldPath, f.kind, f.reason, message}, "\x00")
}

// memory is a map that forgets its oldest keys.
type memory[V any] struct {
	most  int
	vals  map[string]V
	order []string
}

func newMemory[V any](most int) *memory[V] { return &memory[V]{most: most, vals: map[string]V{}} }

func (m *memory[V]) get(k string) (V, bool) { v, ok := m.vals[k]; return v, ok }

func (m *memory[V]) put(k string, v V) {
	if _, ok := m.vals[k]; !ok {
		m.order = append(m.order, k)
		for len(m.order) > m.most {
			delete(m.vals, m.order[0])
			m.order = m.order[1:]
		}
	}
	m.vals[k] = v
}

func (m *memory[V]) drop(k string) {
	if _, ok := m.vals[k]; !ok {
		return
	}
	delete(m.vals, k)
	for i, o := range m.order {
		if o == k {
			m.order = append(m.order[:i:i], m.order[i+1:]...)
			return
		}
	}
}
