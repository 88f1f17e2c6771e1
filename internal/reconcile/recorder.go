package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"coracle.dev/coracle/internal/client"
)

func eventsResource() schema.GroupResource { return schema.GroupResource{Resource: "events"} }

// Recorder writes Events to the API, aggregated as client-go does it: the same message again raises a count, many messages
// that differ only in their text become one, and a source that says too much about one object is cut off for a while. Record
// never blocks; Run writes.
type Recorder struct {
	client    client.Interface
	clock     clock.PassiveClock
	component string
	log       *slog.Logger
	queue     chan Event
	correlate *correlator
}

// NewRecorder returns a recorder for the named component.
func NewRecorder(c client.Interface, clk clock.PassiveClock, component string, log *slog.Logger) *Recorder {
	return &Recorder{
		client: c, clock: clk, component: component, log: log, queue: make(chan Event, 1000), correlate: newCorrelator(),
	}
}

// Record takes an event to be written. When a thousand already wait it is dropped. Safe for concurrent use.
func (r *Recorder) Record(ev Event) {
	select {
	case r.queue <- ev:
	default:
		r.log.Warn("dropping an event: too many wait", "reason", ev.Reason, "kind", ev.Regarding.Kind,
			"namespace", ev.Regarding.Namespace, "name", ev.Regarding.Name)
	}
}

// Run writes until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-r.queue:
			r.write(ctx, ev)
		}
	}
}

func (r *Recorder) write(ctx context.Context, ev Event) {
	w, known, ok := r.correlate.next(ev, r.component, r.clock.Now())
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := r.client.Write(ctx, w)
	if w.Verb == client.Patch && apierrors.IsNotFound(err) { // it has expired
		w = known.create(r.clock.Now())
		_, err = r.client.Write(ctx, w)
	}
	if err != nil && ctx.Err() == nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		r.log.Warn("writing an event failed", "reason", ev.Reason, "kind", ev.Regarding.Kind,
			"namespace", ev.Regarding.Namespace, "name", ev.Regarding.Name, "err", err)
	}
}

// The limits of client-go's correlator.
const (
	similarMost   = 10               // so many texts that differ are written one by one
	similarWithin = 10 * time.Minute // when they come within this time
	spamBurst     = 25               // so many events about one object are written at once,
	spamRefill    = 5 * time.Minute  // then one in this time
	correlateMost = 4096             // objects and messages remembered
)

// correlator decides how an event is written. Not safe for concurrent use.
type correlator struct {
	known   *lru.Cache // message key to *written
	similar *lru.Cache // key without message to *similar
	spam    *lru.Cache // object key to *bucket
	stamp   int64      // the last event's name ends with it
}

// written is an event that is in the API.
type written struct{ event corev1.Event }

type similar struct {
	texts map[string]bool
	last  time.Time
}

type bucket struct {
	tokens float64
	last   time.Time
}

func newCorrelator() *correlator {
	return &correlator{known: lru.New(correlateMost), similar: lru.New(correlateMost), spam: lru.New(correlateMost)}
}

// next returns the write for an event, or false when it is to be dropped.
func (c *correlator) next(ev Event, component string, now time.Time) (client.Write, *written, bool) {
	ref := ev.Regarding
	about := []string{ref.Kind, ref.APIVersion, ref.Namespace, ref.Name, ref.FieldPath, string(ref.UID), ev.Type}
	object := strings.Join(about, "\x00")
	if !c.allowed(object, now) {
		return client.Write{}, nil, false
	}
	message := ev.Message
	kind := object + "\x00" + ev.Reason
	key := kind + "\x00" + message
	if c.tooMany(kind, message, now) {
		key, message = kind, "(combined from similar events): "+message
	}
	if found, ok := c.known.Get(key); ok {
		w, isWritten := found.(*written)
		if isWritten {
			return w.again(message, now), w, true
		}
	}
	w := &written{event: newEvent(ev, message, component)}
	c.stamp = max(c.stamp+1, now.UnixNano()) // several events may come at the same time
	w.event.Name = fmt.Sprintf("%s.%x", ev.Regarding.Name, c.stamp)
	c.known.Add(key, w)
	return w.create(now), w, true
}

// allowed takes a token from the object's bucket.
func (c *correlator) allowed(object string, now time.Time) bool {
	b := &bucket{tokens: spamBurst, last: now}
	if found, ok := c.spam.Get(object); ok {
		b, _ = found.(*bucket)
	} else {
		c.spam.Add(object, b)
	}
	b.tokens = min(spamBurst, b.tokens+now.Sub(b.last).Seconds()/spamRefill.Seconds())
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// tooMany tells whether the text is one of too many that differ.
func (c *correlator) tooMany(kind, message string, now time.Time) bool {
	s := &similar{}
	if found, ok := c.similar.Get(kind); ok {
		s, _ = found.(*similar)
	} else {
		c.similar.Add(kind, s)
	}
	if s.texts == nil || now.Sub(s.last) > similarWithin {
		s.texts = map[string]bool{}
	}
	s.last = now
	s.texts[message] = true
	if len(s.texts) < similarMost {
		return false
	}
	delete(s.texts, message) // stays just below the limit, so that the next different text is combined as well
	return true
}

func newEvent(ev Event, message, component string) corev1.Event {
	namespace := ev.Regarding.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Annotations: ev.Annotations},
		InvolvedObject: ev.Regarding, Reason: ev.Reason, Message: message, Type: ev.Type,
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	}
}

// create returns the write that puts the event into the API for the first time.
func (w *written) create(now time.Time) client.Write {
	w.event.Count = 1
	w.event.FirstTimestamp, w.event.LastTimestamp = metav1.NewTime(now), metav1.NewTime(now)
	return Creating(eventsResource(), w.event.DeepCopy()).Write
}

// again returns the write that counts the event once more.
func (w *written) again(message string, now time.Time) client.Write {
	w.event.Count++
	w.event.Message = message
	w.event.LastTimestamp = metav1.NewTime(now)
	return Patching(eventsResource(), &w.event, types.MergePatchType, map[string]any{
		"count": w.event.Count, "lastTimestamp": w.event.LastTimestamp, "message": message,
	}).Write
}
