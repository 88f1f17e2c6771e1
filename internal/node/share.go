package node

import (
	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/pod"
)

// shared is what a worker shows to others: values that are never changed.
type shared struct {
	worker *worker
	pod    *v1.Pod
	gone   bool
	status v1.PodStatus
	view   cri.View
}

// shared returns the newest. Safe for concurrent use.
func (w *worker) shared() shared {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.shows
	s.worker, s.pod, s.gone = w, w.inbox.pod, w.inbox.gone
	return s
}

// show publishes what the loop knows and closes the channels of containers that have ended.
func (w *worker) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shows.status, w.shows.view = w.last, w.view
	for id, ch := range w.exits {
		if w.hasEnded(id) {
			close(ch)
			delete(w.exits, id)
		}
	}
}

// exitOf returns a channel that is closed when the container has ended. Safe for concurrent use.
func (w *worker) exitOf(id string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.exits[id]
	if ch == nil {
		ch = make(chan struct{})
		if w.hasEnded(id) || w.left {
			close(ch)
			return ch
		}
		w.exits[id] = ch
	}
	return ch
}

// leave lets go of all who wait for an exit. The worker ends.
func (w *worker) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = true
	for id, ch := range w.exits {
		close(ch)
		delete(w.exits, id)
	}
}

// hasEnded says whether the shown view has no such running container. The caller holds mu.
func (w *worker) hasEnded(id string) bool {
	for _, c := range w.shows.view.Containers {
		if c.ID == id {
			return c.State == pod.Exited
		}
	}
	return true
}
