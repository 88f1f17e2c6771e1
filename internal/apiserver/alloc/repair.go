package alloc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/store"
)

// leakGrace is how old an address without a service must be to count as leaked: other implementations on the same data
// write the address first and the service after it.
const leakGrace = time.Minute

// repairs is what differs between the allocations and the services, which are the truth.
type repairs struct {
	// missing are addresses that a service has and no IPAddress holds.
	missing map[netip.Addr]*corev1.Service
	// leaked are IPAddresses of no service that has them.
	leaked []*networkingv1.IPAddress
	// doubled are addresses that several services have. The first by age keeps it; people must mend the others.
	doubled map[netip.Addr][]types.NamespacedName
	// ports is the bitmap as it should be.
	ports *portMap
}

// planRepair compares. IPAddresses that are not managed by this allocator, or are young, are never leaked.
func planRepair(
	services []*corev1.Service, addresses []*networkingv1.IPAddress, ports PortRange, now time.Time,
) repairs {
	r := repairs{
		missing: map[netip.Addr]*corev1.Service{}, doubled: map[netip.Addr][]types.NamespacedName{},
		ports: newPortMap(ports, nil),
	}
	services = slices.Clone(services)
	slices.SortStableFunc(services, func(a, b *corev1.Service) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	owner := map[netip.Addr]types.NamespacedName{}
	for _, s := range services {
		key := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
		for _, a := range addressesOf(s) {
			if first, taken := owner[a]; taken {
				if len(r.doubled[a]) == 0 {
					r.doubled[a] = []types.NamespacedName{first}
				}
				r.doubled[a] = append(r.doubled[a], key)
				continue
			}
			owner[a] = key
			r.missing[a] = s
		}
		for _, port := range portsOf(s) {
			_ = r.ports.take(port) // outside of the range, or shared by two protocols
		}
	}
	for _, obj := range addresses {
		a, err := netip.ParseAddr(obj.Name)
		holder, used := owner[a]
		if err == nil && used && refersTo(obj, holder) {
			delete(r.missing, a)
			continue
		}
		managed := obj.Labels[networkingv1.LabelManagedBy] == managedBy
		if managed && now.Sub(obj.CreationTimestamp.Time) > leakGrace {
			r.leaked = append(r.leaked, obj)
		}
		delete(r.missing, a) // held by someone else, or for the moment: nothing can be written there now
	}
	return r
}

func refersTo(obj *networkingv1.IPAddress, key types.NamespacedName) bool {
	ref := obj.Spec.ParentRef
	return ref != nil && ref.Group == "" && ref.Resource == "services" && ref.Namespace == key.Namespace && ref.Name == key.Name
}

func ownedBy(obj api.Object, service *corev1.Service) bool {
	address, ok := obj.(*networkingv1.IPAddress)
	return ok && refersTo(address, types.NamespacedName{Namespace: service.Namespace, Name: service.Name})
}

func revisionOf(obj api.Object) (int64, bool) {
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	return revision, err == nil && revision > 0
}

// Report is what a repair found.
type Report struct {
	// Restored and Released count IPAddresses.
	Restored, Released int
	// Ports tells that the bitmap of node ports was wrong.
	Ports bool
	// Doubled lists, as text, addresses that several services have; nothing was done about them.
	Doubled []string
}

// repairAttempts is how often the bitmap is computed again because services changed meanwhile.
const repairAttempts = 5

// Repair makes the allocations what the services say. Run it when the server starts; while it runs, services may change.
func (s *Services) Repair(ctx context.Context, services client.Cache) (Report, error) {
	var report Report
	for range repairAttempts {
		done, err := s.repairOnce(ctx, services, &report)
		if err != nil {
			return report, fmt.Errorf("repairing service allocations: %w", err)
		}
		if done {
			return report, nil
		}
	}
	return report, errors.New("repairing service allocations: services changed all the time")
}

func (s *Services) repairOnce(ctx context.Context, services client.Cache, report *Report) (bool, error) {
	// The allocations are read first: a service made in between is then seen with its address, not without.
	w, err := s.read()
	if err != nil {
		return false, err
	}
	if err := services.Sync(ctx); err != nil {
		return false, err
	}
	var all []*corev1.Service
	for obj := range services.Snapshot().All("") {
		if service, ok := obj.(*corev1.Service); ok {
			all = append(all, service)
		}
	}
	var addresses []*networkingv1.IPAddress
	for obj := range w.addresses.All("") {
		if address, ok := obj.(*networkingv1.IPAddress); ok {
			addresses = append(addresses, address)
		}
	}
	r := planRepair(all, addresses, s.cfg.NodePorts, s.cfg.Now())
	if err := s.repairAddresses(ctx, r, report); err != nil {
		return false, err
	}
	report.Doubled = nil
	for a, owners := range r.doubled {
		report.Doubled = append(report.Doubled, fmt.Sprintf("%s: %v", a, owners))
	}
	slices.Sort(report.Doubled)
	w.view.ports = r.ports
	op, changed, err := s.portStep(w)
	if err != nil || !changed {
		return err == nil, err
	}
	_, err = s.cfg.Store.Commit(ctx, op)
	if lost(err) {
		return false, nil
	}
	report.Ports = report.Ports || err == nil
	return err == nil, err
}

// repairAddresses writes each address in a transaction of its own; one that someone else changed meanwhile is right already.
func (s *Services) repairAddresses(ctx context.Context, r repairs, report *Report) error {
	for a, owner := range r.missing {
		op, err := s.takeStep(a, owner)
		if err != nil {
			return err
		}
		revision, ok := revisionOf(owner)
		if !ok {
			continue
		}
		// The service must still be the one that was seen, or its address would leak.
		check := store.Op{Kind: store.OpCheck, Key: s.services + owner.Namespace + "/" + owner.Name, Expect: revision}
		if _, err = s.cfg.Store.Commit(ctx, op, check); err == nil {
			report.Restored++
		} else if !lost(err) {
			return err
		}
	}
	for _, obj := range r.leaked {
		revision, ok := revisionOf(obj)
		if !ok {
			continue
		}
		_, err := s.cfg.Store.Commit(ctx, store.Op{Kind: store.OpDelete, Key: s.folder + obj.Name, Expect: revision})
		if err == nil {
			report.Released++
		} else if !lost(err) {
			return err
		}
	}
	return nil
}

// lost tells that a precondition failed.
func lost(err error) bool {
	return errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict)
}
