package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// Hook is one lifecycle hook to run.
type Hook struct {
	Pod         *v1.Pod
	Container   *v1.Container
	ContainerID string
	IP          string
	Handler     *v1.LifecycleHandler
}

// Run runs the hook until it is done or ctx ends. The error is a sentence for an event.
func (h Hook) Run(ctx context.Context, exec Exec) error {
	where := fmt.Sprintf("for Container %q in Pod %q failed", h.Container.Name, pod.Describe(h.Pod))
	switch {
	case h.Handler.Exec != nil:
		code, out, err := exec(ctx, h.ContainerID, h.Handler.Exec.Command, 0)
		if err == nil && code != 0 {
			err = fmt.Errorf("command '%s' exited with %d: %s", strings.Join(h.Handler.Exec.Command, " "), code, out)
		}
		if err != nil {
			return fmt.Errorf("Exec lifecycle hook (%v) %s - error: %w, message: %q", h.Handler.Exec.Command, where, err, out)
		}
	case h.Handler.HTTPGet != nil:
		if err := h.get(ctx); err != nil {
			return fmt.Errorf("HTTP lifecycle hook (%s) %s - error: %w", h.Handler.HTTPGet.Path, where, err)
		}
	case h.Handler.TCPSocket != nil:
		if err := TCP(ctx, h.Container, h.IP, h.Handler.TCPSocket); err != nil {
			return fmt.Errorf("TCP lifecycle hook %s - error: %w", where, err)
		}
	case h.Handler.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Handler.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("Sleep lifecycle hook (%d) %s - error: %w", //nolint:staticcheck // upstream's words
				h.Handler.Sleep.Seconds, where, ctx.Err())
		}
	default:
		return errors.New("Cannot run handler: invalid handler type") //nolint:staticcheck // upstream's words
	}
	return nil
}

func (h Hook) get(ctx context.Context) error {
	action := h.Handler.HTTPGet.DeepCopy()
	if action.Port.String() == "" || action.Port.String() == "0" {
		action.Port.IntVal = 80
	}
	_, err := HTTP(ctx, h.Container, h.IP, action)
	if err != nil && action.Scheme == v1.URISchemeHTTPS && strings.Contains(err.Error(), http.ErrSchemeMismatch.Error()) {
		// The hook says https and its server speaks http, which the API accepted for long.
		action.Scheme = v1.URISchemeHTTP
		_, err = HTTP(ctx, h.Container, h.IP, action)
	}
	return err
}
