package alloc

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/store"
)

// failer is what *testing.T and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a store with Services, IPAddresses (kept in a fake client, so that caches follow) and node ports. Only what the
// allocator uses works.
type world struct {
	store.Store
	t        failer
	client   *clientfake.Client
	address  store.Codec
	service  store.Codec
	ports    store.Codec
	bitmap   store.Entry
	revision int64
	now      time.Time
	random   Random
}

func newWorld(t failer, random Random) *world {
	t.Helper()
	catalogue := clientfake.Catalogue()
	stored := func(gr schema.GroupResource, path string) *api.Resource {
		r, _ := catalogue.Resource(gr)
		with := *r
		with.StoragePath = path
		return &with
	}
	addresses := stored(kinds.IPAddresses(), "ipaddresses")
	services := stored(kinds.Services(), "services/specs")
	catalogue, err := catalogue.With(addresses, services)
	if err != nil {
		t.Fatalf("making the catalogue: %v", err)
	}
	return &world{
		t: t, client: clientfake.New(catalogue), random: random,
		address: codec.StorageCodec(addresses), service: codec.StorageCodec(services), ports: codec.StorageCodec(rangeAllocation()),
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// server is one API server's allocator on the world.
func (w *world) server(ports PortRange, cidrs ...string) *Services {
	w.t.Helper()
	cfg := Config{
		Store: w, Objects: lookup.New(w.client), Catalogue: w.client.Catalogue(), NodePorts: ports, Random: w.random,
		Now: func() time.Time { return w.now }, NewUID: func() types.UID { return types.UID(fmt.Sprint("uid-", w.revision)) },
	}
	for _, text := range cidrs {
		cfg.CIDRs = append(cfg.CIDRs, netip.MustParsePrefix(text))
	}
	s, err := NewServices(context.Background(), cfg)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return s
}

// rangeFolder is the collection of /registry/ranges/.
type rangeFolder struct {
	store.Collection
	w *world
}

func (w *world) Collection(context.Context, store.CollectionSpec) (store.Collection, error) {
	return rangeFolder{w: w}, nil
}

type rangeSnapshot struct {
	store.Snapshot
	entry store.Entry
}

func (f rangeFolder) Snapshot() store.Snapshot       { return rangeSnapshot{entry: f.w.bitmap} }
func (f rangeFolder) Encode(obj any) ([]byte, error) { return f.w.ports.Encode(obj) }
func (f rangeFolder) Object(e store.Entry) (any, error) {
	return f.w.ports.Decode(e.Key, e.Value, e.Revision)
}
func (s rangeSnapshot) Get(string) (store.Entry, bool) { return s.entry, s.entry.Revision > 0 }

// find returns the object behind a key.
func (w *world) find(key string) (api.Object, schema.GroupResource, store.Codec) {
	gr, c, namespace, name := kinds.Services(), w.service, "", ""
	if rest, ok := strings.CutPrefix(key, "/registry/services/specs/"); ok {
		namespace, name, _ = strings.Cut(rest, "/")
	} else {
		gr, c = kinds.IPAddresses(), w.address
		name = strings.TrimPrefix(key, "/registry/ipaddresses/")
	}
	obj, err := w.client.Get(context.Background(), gr, namespace, name)
	if err != nil {
		return nil, gr, c
	}
	return obj, gr, c
}

func (w *world) revisionAt(key string) int64 {
	if key == nodePortsKey {
		return w.bitmap.Revision
	}
	obj, _, _ := w.find(key)
	if obj == nil {
		return 0
	}
	revision, _ := revisionOf(obj)
	return revision
}

// Commit checks every step, then does them all or none.
func (w *world) Commit(_ context.Context, ops ...store.Op) (int64, error) {
	for i, op := range ops {
		at := w.revisionAt(op.Key)
		fail := func(err error) (int64, error) { return 0, &store.OpError{Index: i, Op: op, Err: err} }
		switch {
		case op.Kind == store.OpCreate && at != 0:
			return fail(store.ErrExists)
		case (op.Kind == store.OpUpdate || op.Kind == store.OpDelete) && at == 0:
			return fail(store.ErrNotFound)
		case op.Kind != store.OpCreate && at != op.Expect:
			return fail(store.ErrConflict)
		}
	}
	for _, op := range ops {
		w.apply(op)
	}
	return w.revision, nil
}

func (w *world) apply(op store.Op) {
	w.revision++
	if op.Key == nodePortsKey {
		w.bitmap = store.Entry{Key: op.Key, Revision: w.revision, Value: op.Value}
		return
	}
	old, gr, c := w.find(op.Key)
	switch op.Kind {
	case store.OpDelete:
		w.client.Remove(gr, old.GetNamespace(), old.GetName())
	case store.OpCreate, store.OpUpdate, store.OpPut:
		obj, err := c.Decode(op.Key, op.Value, 0)
		if err != nil {
			w.t.Fatalf("decoding %s: %v", op.Key, err)
		}
		w.client.Load(obj.(api.Object))
	case store.OpCheck:
	}
}

// write performs a create (old nil), update, or delete (obj nil) as the API server does, retried when a step of it fails.
// Before each commit but the last attempts, meanwhile runs.
func (w *world) write(s *Services, obj, old *corev1.Service, meanwhile func()) error {
	for attempt := 0; ; attempt++ {
		if attempt == 10 {
			w.t.Fatalf("a write did not get through")
		}
		var after, before api.Object
		which := old
		var try *corev1.Service
		if obj != nil {
			try = obj.DeepCopy()
			after, which = try, try
		}
		if old != nil {
			current, _, _ := w.find(serviceKey(old))
			if current == nil {
				return nil // gone meanwhile
			}
			before = current
		}
		ops, err := s.Allocate(context.Background(), after, before, false)
		if err != nil {
			return err
		}
		main := store.Op{Kind: store.OpDelete, Key: serviceKey(which)}
		if obj != nil {
			main.Kind = store.OpCreate
			if main.Value, err = w.service.Encode(try); err != nil {
				return err
			}
		}
		if old != nil {
			main.Expect = w.revisionAt(main.Key)
			if obj != nil {
				main.Kind = store.OpUpdate
			}
		}
		if meanwhile != nil && attempt == 0 {
			meanwhile()
		}
		_, err = w.Commit(context.Background(), append([]store.Op{main}, ops...)...)
		if err == nil {
			return nil
		}
		if old == nil && w.revisionAt(main.Key) != 0 {
			return store.ErrExists
		}
	}
}

func serviceKey(s *corev1.Service) string {
	return "/registry/services/specs/" + s.Namespace + "/" + s.Name
}

func (w *world) services() []*corev1.Service {
	list, err := lookup.New(w.client).Snapshot(kinds.Services())
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	var all []*corev1.Service
	for obj := range list.All("") {
		all = append(all, obj.(*corev1.Service))
	}
	return all
}

// check makes sure that allocations and services say the same, and no two services have the same.
func (w *world) check(ports PortRange) {
	w.t.Helper()
	owner, wantPorts := map[netip.Addr]string{}, newPortMap(ports, nil)
	for _, s := range w.services() {
		key := s.Namespace + "/" + s.Name
		for _, a := range addressesOf(s) {
			if other, taken := owner[a]; taken {
				w.t.Fatalf("%s and %s both have %s", key, other, a)
			}
			owner[a] = key
		}
		for _, port := range portsOf(s) {
			if err := wantPorts.take(port); err != nil {
				w.t.Fatalf("node port %d of %s: %v", port, key, err)
			}
		}
	}
	held, err := lookup.New(w.client).Snapshot(kinds.IPAddresses())
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	count := 0
	for obj := range held.All("") {
		count++
		address := obj.(*networkingv1.IPAddress)
		ref := address.Spec.ParentRef
		if owner[netip.MustParseAddr(address.Name)] != ref.Namespace+"/"+ref.Name {
			w.t.Fatalf("%s is held for %s/%s, which does not have it", address.Name, ref.Namespace, ref.Name)
		}
	}
	if count != len(owner) {
		w.t.Fatalf("%d addresses are held, %d are used", count, len(owner))
	}
	var data []byte
	if w.bitmap.Revision > 0 {
		obj, err := w.ports.Decode(nodePortsKey, w.bitmap.Value, 1)
		if err != nil {
			w.t.Fatalf("%v", err)
		}
		data = obj.(*corev1.RangeAllocation).Data
	}
	if !slices.Equal(data, wantPorts.data()) {
		w.t.Fatalf("node ports held %x, used %x", data, wantPorts.data())
	}
}
