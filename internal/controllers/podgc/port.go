package podgc

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// NodeRequest asks whether a node is gone, after a while.
type NodeRequest struct {
	Name  string
	After time.Duration
}

// NodePort answers a NodeRequest with a bool: true when the node does not exist.
type NodePort struct{ clock clock.Clock }

// NewNodePort returns the port.
func NewNodePort(c clock.Clock) *NodePort { return &NodePort{clock: c} }

// Call implements reconcile.Port.
func (p *NodePort) Call(ctx context.Context, c client.Interface, request any) (any, error) {
	r, _ := request.(NodeRequest)
	timer := p.clock.NewTimer(r.After)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C():
	}
	_, err := c.Get(ctx, kinds.Nodes(), "", r.Name)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}
