package alloc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

// Names under which upstream keeps allocations.
const (
	rangesPrefix  = "/registry/ranges/"
	nodePortsKey  = rangesPrefix + "servicenodeports"
	managedBy     = "ipallocator.k8s.io"
	storagePrefix = "/registry/"
)

// Config is what the allocator of Services needs.
type Config struct {
	// Store holds the bitmap of node ports.
	Store store.Store
	// Objects reads IPAddresses and ServiceCIDRs.
	Objects *lookup.Reader
	// Catalogue has the resource ipaddresses.
	Catalogue *api.Catalogue
	// CIDRs are the server's own service ranges, one per IP family, the default family first. They say which families the
	// cluster has, and stand in while no ServiceCIDR of a family is ready.
	CIDRs []netip.Prefix
	// NodePorts is the range of node ports.
	NodePorts PortRange
	Now       func() time.Time
	NewUID    func() types.UID
	// Random picks addresses and ports; nil: math/rand.
	Random Random
}

// Services allocates for Services. Safe for concurrent use.
type Services struct {
	cfg       Config
	families  families
	addresses store.Codec
	folder    string
	services  string // the folder of Services
	ports     store.Collection
}

// NewServices returns the allocator of Services.
func NewServices(ctx context.Context, cfg Config) (*Services, error) {
	if len(cfg.CIDRs) == 0 || len(cfg.CIDRs) > 2 {
		return nil, errors.New("allocating services: one service range per IP family is needed, two at most")
	}
	if cfg.Now == nil || cfg.NewUID == nil {
		return nil, errors.New("allocating services: a clock and a source of UIDs are needed")
	}
	s := &Services{cfg: cfg}
	if s.cfg.Random == nil {
		s.cfg.Random = rand.Uint64N //nolint:forbidigo // the usual one; tests bring their own
	}
	for _, prefix := range cfg.CIDRs {
		family := familyOf(prefix.Addr())
		if s.families.has(family) {
			return nil, fmt.Errorf("allocating services: two service ranges of family %s", family)
		}
		if prefix.Addr().Is6() && prefix.Bits() < 64 {
			return nil, fmt.Errorf("allocating services: shortest allowed prefix length for service CIDR is 64, got %d",
				prefix.Bits())
		}
		s.families = append(s.families, family)
	}
	r, ok := cfg.Catalogue.Resource(kinds.IPAddresses())
	if !ok {
		return nil, errors.New("allocating services: the catalogue has no ipaddresses")
	}
	s.addresses = codec.StorageCodec(r)
	s.folder = storagePrefix + r.StoragePath + "/"
	services, ok := cfg.Catalogue.Resource(kinds.Services())
	if !ok {
		return nil, errors.New("allocating services: the catalogue has no services")
	}
	s.services = storagePrefix + services.StoragePath + "/"
	var err error
	ranges := codec.StorageCodec(rangeAllocation())
	s.ports, err = cfg.Store.Collection(ctx, store.CollectionSpec{Prefix: rangesPrefix, Codec: ranges})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", rangesPrefix, err)
	}
	return s, nil
}

// rangeAllocation describes a kind that is stored and never served.
func rangeAllocation() *api.Resource {
	return &api.Resource{
		Kind: "RangeAllocation", StoredVersion: "v1",
		Versions: []api.Version{{Name: "v1", New: func() runtime.Object { return &corev1.RangeAllocation{} }}},
	}
}

// Allocate implements Allocator. With dryRun the steps are returned all the same: the caller does not commit them.
func (s *Services) Allocate(_ context.Context, obj, old api.Object, _ bool) ([]store.Op, error) {
	after, err := asService(obj)
	if err != nil {
		return nil, err
	}
	before, err := asService(old)
	if err != nil {
		return nil, err
	}
	taken, err := s.read()
	if err != nil {
		return nil, err
	}
	var p plan
	if after == nil {
		p = taken.view.planDelete(before)
	} else if p, err = taken.view.planWrite(after, before); err != nil {
		return nil, err
	}
	owner := after
	if owner == nil {
		owner = before
	}
	return s.steps(taken, p, owner)
}

func asService(obj api.Object) (*corev1.Service, error) {
	if obj == nil {
		return nil, nil // there is none
	}
	service, ok := obj.(*corev1.Service)
	if !ok {
		return nil, fmt.Errorf("allocating services: got a %T", obj)
	}
	return service, nil
}

// state is what is taken, as the image has it.
type state struct {
	view      *view
	addresses client.Snapshot
	// stored is the node ports' entry, if there is one.
	stored store.Entry
	exists bool
}

func (s *Services) read() (*state, error) {
	addresses, err := s.cfg.Objects.Snapshot(kinds.IPAddresses())
	if err != nil {
		return nil, err
	}
	ranges, err := s.ranges()
	if err != nil {
		return nil, err
	}
	w := &state{addresses: addresses}
	w.stored, w.exists = s.ports.Snapshot().Get(nodePortsKey)
	data, err := s.portData(w)
	if err != nil {
		return nil, err
	}
	w.view = &view{
		families: s.families, ranges: ranges, ports: newPortMap(s.cfg.NodePorts, data), random: s.cfg.Random,
		taken: func(a netip.Addr) bool { _, ok := addresses.Get("", a.String()); return ok },
	}
	return w, nil
}

// ranges lists the ready ServiceCIDRs, and for a family without one the server's own range.
func (s *Services) ranges() ([]ipRange, error) {
	gr := kinds.ServiceCIDRs()
	snapshot, err := s.cfg.Objects.Snapshot(gr)
	if err != nil {
		return nil, err
	}
	var ranges []ipRange
	var has families
	for obj := range snapshot.All("") {
		cidr, ok := obj.(*networkingv1.ServiceCIDR)
		if !ok || cidr.DeletionTimestamp != nil ||
			!apimeta.IsStatusConditionTrue(cidr.Status.Conditions, networkingv1.ServiceCIDRConditionReady) {
			continue
		}
		for _, text := range cidr.Spec.CIDRs {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				ranges = append(ranges, newRange(prefix))
				has = append(has, familyOf(prefix.Addr()))
			}
		}
	}
	for _, prefix := range s.cfg.CIDRs {
		if !has.has(familyOf(prefix.Addr())) {
			ranges = append(ranges, newRange(prefix))
		}
	}
	return ranges, nil
}

// portData reads the stored bitmap. One of another range is moved bit by bit, as far as the ranges have ports in common.
func (s *Services) portData(w *state) ([]byte, error) {
	if !w.exists {
		return nil, nil
	}
	obj, err := s.ports.Object(w.stored)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", nodePortsKey, err)
	}
	stored, ok := obj.(*corev1.RangeAllocation)
	if !ok {
		return nil, fmt.Errorf("reading %s: got a %T", nodePortsKey, obj)
	}
	if stored.Range == s.cfg.NodePorts.String() || stored.Range == "" {
		return stored.Data, nil
	}
	var former PortRange
	if _, err := fmt.Sscanf(stored.Range, "%d-%d", &former.First, &former.Last); err != nil {
		return nil, fmt.Errorf("reading %s: bad range %q: %w", nodePortsKey, stored.Range, err)
	}
	from, to := newPortMap(former, stored.Data), newPortMap(s.cfg.NodePorts, nil)
	for port := former.First; port <= former.Last; port++ {
		if from.has(port) {
			_ = to.take(port) // a port outside of the new range is no longer managed
		}
	}
	return to.data(), nil
}

// steps turns a plan into store operations on behalf of the owning service.
func (s *Services) steps(w *state, p plan, owner *corev1.Service) ([]store.Op, error) {
	var ops []store.Op
	for _, a := range p.take {
		op, err := s.takeStep(a, owner)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	for _, a := range p.free {
		if op, ok := s.freeStep(w, a, owner); ok {
			ops = append(ops, op)
		}
	}
	op, changed, err := s.portStep(w)
	if err != nil {
		return nil, err
	}
	if changed {
		ops = append(ops, op)
	}
	return ops, nil
}

func (s *Services) takeStep(a netip.Addr, owner *corev1.Service) (store.Op, error) {
	value, err := s.addresses.Encode(&networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{
			Name: a.String(), UID: s.cfg.NewUID(), CreationTimestamp: metav1.NewTime(s.cfg.Now()), Generation: 1,
			Labels: map[string]string{
				networkingv1.LabelIPAddressFamily: string(familyOf(a)),
				networkingv1.LabelManagedBy:       managedBy,
			},
		},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: owner.Namespace, Name: owner.Name,
		}},
	})
	if err != nil {
		return store.Op{}, fmt.Errorf("encoding IPAddress %s: %w", a, err)
	}
	return store.Op{Kind: store.OpCreate, Key: s.folder + a.String(), Value: value}, nil
}

// freeStep deletes the address at the very revision that was seen to belong to the owner. One that is missing, or another's, is
// left alone.
func (s *Services) freeStep(w *state, a netip.Addr, owner *corev1.Service) (store.Op, bool) {
	obj, ok := w.addresses.Get("", a.String())
	if !ok || !ownedBy(obj, owner) {
		return store.Op{}, false
	}
	revision, ok := revisionOf(obj)
	return store.Op{Kind: store.OpDelete, Key: s.folder + a.String(), Expect: revision}, ok
}

// portStep writes the bitmap back if planning changed it.
func (s *Services) portStep(w *state) (store.Op, bool, error) {
	data := w.view.ports.data()
	if w.exists {
		stored, err := s.ports.Object(w.stored)
		if err != nil {
			return store.Op{}, false, fmt.Errorf("reading %s: %w", nodePortsKey, err)
		}
		if r, ok := stored.(*corev1.RangeAllocation); ok && r.Range == s.cfg.NodePorts.String() && bytes.Equal(r.Data, data) {
			return store.Op{}, false, nil
		}
	} else if len(data) == 0 {
		return store.Op{}, false, nil
	}
	value, err := s.ports.Encode(&corev1.RangeAllocation{Range: s.cfg.NodePorts.String(), Data: data})
	if err != nil {
		return store.Op{}, false, fmt.Errorf("encoding %s: %w", nodePortsKey, err)
	}
	op := store.Op{Kind: store.OpCreate, Key: nodePortsKey, Value: value}
	if w.exists {
		op.Kind, op.Expect = store.OpUpdate, w.stored.Revision
	}
	return op, true, nil
}
