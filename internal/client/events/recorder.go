package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Config of a Recorder. All fields but Host are required.
type Config struct {
	Client client.Interface
	// Component is who records, such as "kubelet"; Host is the node it runs on, if any.
	Component string
	Host      string
	Now       func() time.Time
	Logger    *slog.Logger
}

// Recorder records facts. Safe for concurrent use. Nothing is written before Run runs, and what is pending when Run ends is
// lost, as upstream's events are.
type Recorder struct {
	cfg   Config
	facts chan *fact
}

type fact struct {
	ref     corev1.ObjectReference
	kind    string
	reason  string
	message string
	at      time.Time
}

// pending bounds how many facts wait to be written; more are dropped with a log line.
const pending = 1000

// longest message in bytes; the API refuses longer ones.
const longest = 1024

// New returns a recorder.
func New(cfg Config) *Recorder {
	return &Recorder{cfg: cfg, facts: make(chan *fact, pending)}
}

// Event records a fact about an object. kind is corev1.EventTypeNormal or EventTypeWarning.
func (r *Recorder) Event(obj api.Object, kind, reason, message string) {
	r.About(r.Reference(obj), kind, reason, message)
}

// Eventf is Event with a format.
func (r *Recorder) Eventf(obj api.Object, kind, reason, format string, args ...any) {
	r.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}

// Reference returns a reference to the object, to which a field path may be added.
func (r *Recorder) Reference(obj api.Object) corev1.ObjectReference {
	ref := corev1.ObjectReference{
		Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
	}
	if res, ok := r.cfg.Client.Catalogue().ForObject(obj); ok {
		ref.APIVersion, ref.Kind = res.StoredGVK().ToAPIVersionAndKind()
	} else {
		ref.APIVersion, ref.Kind = obj.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	}
	return ref
}

// About records a fact about what the reference names.
func (r *Recorder) About(ref corev1.ObjectReference, kind, reason, message string) {
	if len(message) > longest {
		message = message[:longest]
	}
	f := &fact{ref: ref, kind: kind, reason: reason, message: message, at: r.cfg.Now()}
	select {
	case r.facts <- f:
	default:
		r.cfg.Logger.Warn("event dropped, too many are waiting to be written", "kind", ref.Kind, "namespace", ref.Namespace,
			"name", ref.Name, "reason", reason)
	}
}

// Run writes until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	c := newCorrelator()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-r.facts:
			if err := r.write(ctx, c, f); err != nil && ctx.Err() == nil {
				r.cfg.Logger.Warn("writing an event", "kind", f.ref.Kind, "namespace", f.ref.Namespace, "name", f.ref.Name,
					"reason", f.reason, "err", err)
			}
		}
	}
}

func (r *Recorder) write(ctx context.Context, c *correlator, f *fact) error {
	o := c.judge(f)
	if o.drop {
		return nil
	}
	w := client.Write{Verb: client.Create, Resource: kinds.Events(), Object: r.event(f, c.name(f), o.message)}
	if o.update != nil {
		patch, err := json.Marshal(map[string]any{
			"count": o.update.Count + 1, "lastTimestamp": metav1.NewTime(f.at), "message": o.message,
		})
		if err != nil {
			return fmt.Errorf("encoding the count of event %s: %w", o.update.Name, err)
		}
		w = client.Write{
			Verb: client.Patch, Resource: kinds.Events(), Namespace: o.update.Namespace, Name: o.update.Name,
			PatchType: types.MergePatchType, PatchData: patch,
		}
	} else {
		ev, _ := w.Object.(*corev1.Event)
		w.Namespace, w.Name = ev.Namespace, ev.Name
	}
	stored, err := r.cfg.Client.Write(ctx, w)
	if apierrors.IsNotFound(err) && o.update != nil {
		c.same.drop(o.key) // it went by age: begin anew
		return r.write(ctx, c, f)
	}
	// A namespace that is being emptied takes no events; that is no news.
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("event %s/%s: %w", w.Namespace, w.Name, err)
	}
	if ev, ok := stored.(*corev1.Event); ok {
		c.same.put(o.key, ev)
	}
	return nil
}

func (r *Recorder) event(f *fact, name, message string) *corev1.Event {
	namespace := f.ref.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	at := metav1.NewTime(f.at)
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
		},
		InvolvedObject: f.ref, Type: f.kind, Reason: f.reason, Message: message,
		Source:              corev1.EventSource{Component: r.cfg.Component, Host: r.cfg.Host},
		ReportingController: r.cfg.Component, ReportingInstance: r.cfg.Host,
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
	}
}
