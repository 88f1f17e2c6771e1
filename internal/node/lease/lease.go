package lease

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Namespace is where nodes' leases are.
const Namespace = "kube-node-lease"

// Keeper renews one node's lease.
type Keeper struct {
	Client client.Interface
	Node   string
	// UID returns the Node's UID once it is known, for the owner reference.
	UID func() types.UID
	// Duration is how long a renewal counts, Every how often to renew; Retry the first wait after a failure.
	Duration, Every, Retry time.Duration
	Now                    func() time.Time
	Logger                 *slog.Logger
}

// Run renews the lease until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	var last *coordinationv1.Lease
	retry := k.Retry
	for {
		wait := k.Every
		lease, err := k.renew(ctx, last)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			k.Logger.Warn("renewing the node's lease", "kind", "Lease", "namespace", Namespace, "name", k.Node, "err", err)
			last, wait = nil, retry
			retry = min(2*retry, k.Every)
		default:
			last, retry = lease, k.Retry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// renew updates the lease as last seen, or reads or creates it.
func (k *Keeper) renew(ctx context.Context, last *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	gr := kinds.Leases()
	verb := client.Update
	if last == nil {
		found, err := client.Get[*coordinationv1.Lease](ctx, k.Client, gr, Namespace, k.Node)
		switch {
		case apierrors.IsNotFound(err):
			verb = client.Create
			found = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: k.Node}}
		case err != nil:
			return nil, fmt.Errorf("reading the lease: %w", err)
		}
		last = found
	}
	answer, err := k.Client.Write(ctx, client.Write{
		Verb: verb, Resource: gr, Namespace: Namespace, Name: k.Node, Object: k.renewed(last),
	})
	if err != nil {
		return nil, fmt.Errorf("writing the lease: %w", err)
	}
	lease, ok := answer.(*coordinationv1.Lease)
	if !ok {
		return nil, fmt.Errorf("the lease was answered with a %T", answer)
	}
	return lease, nil
}

func (k *Keeper) renewed(last *coordinationv1.Lease) *coordinationv1.Lease {
	lease := last.DeepCopy()
	now := metav1.NewMicroTime(k.Now())
	seconds := int32(k.Duration / time.Second)
	lease.Spec.HolderIdentity = &k.Node
	lease.Spec.LeaseDurationSeconds = &seconds
	lease.Spec.RenewTime = &now
	if uid := k.UID(); uid != "" && len(lease.OwnerReferences) == 0 {
		lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: k.Node, UID: uid}}
	}
	return lease
}
