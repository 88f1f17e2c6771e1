package apiserver

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/apiserver/wire"
)

// admitted takes a place among the requests under way; release gives it back. Streams and administrators are always let in.
func (s *Server) admitted(a *request.Attributes, long bool) (release func(), ok bool) {
	if long {
		s.metrics.longRunning.Inc()
		return s.metrics.longRunning.Dec, true
	}
	places, gauge := s.writes, s.metrics.inflightWrites
	if readOnly(a.Verb) {
		places, gauge = s.reads, s.metrics.inflightReads
	}
	select {
	case places <- struct{}{}:
		gauge.Inc()
		return func() {
			<-places
			gauge.Dec()
		}, true
	default:
		if slices.Contains(a.User.Groups, request.GroupMasters) {
			return func() {}, true
		}
		return nil, false
	}
}

func readOnly(verb string) bool {
	switch verb {
	case "get", "list", "watch", "head", "options":
		return true
	default:
		return false
	}
}

func (s *Server) refuseBusy(w http.ResponseWriter, r *http.Request, a *request.Attributes) {
	s.metrics.dropped.WithLabelValues(a.Verb).Inc()
	wire.WriteError(w, r, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1))
}
