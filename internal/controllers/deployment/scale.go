package deployment

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (r *rollout) desired() int32 { return *r.d.Spec.Replicas }

func (r *rollout) rolls() bool {
	return r.d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType
}

// limits resolves maxSurge (rounded up) and maxUnavailable (rounded down). When both come to nothing one pod may be
// unavailable, or nothing could ever move.
func (r *rollout) limits() (surge, unavailable int32) {
	if !r.rolls() {
		return 0, 0
	}
	var s, u *intstr.IntOrString
	if ru := r.d.Spec.Strategy.RollingUpdate; ru != nil {
		s, u = ru.MaxSurge, ru.MaxUnavailable
	}
	surge, unavailable = scaled(s, r.desired(), true), scaled(u, r.desired(), false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, min(unavailable, r.desired())
}

// scaled resolves a number or percentage. Validation has judged it; one that cannot be read counts as 0.
func scaled(v *intstr.IntOrString, of int32, up bool) int32 {
	if v == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(of), up)
	if err != nil {
		return 0
	}
	return int32(n)
}

func (r *rollout) maxSurge() int32 {
	surge, _ := r.limits()
	return surge
}

func (r *rollout) maxUnavailable() int32 {
	_, unavailable := r.limits()
	return unavailable
}

// roomForNew is how many replicas the new set may have now.
func (r *rollout) roomForNew() int32 {
	if !r.rolls() {
		return r.desired()
	}
	now := *r.newSet.Spec.Replicas
	room := r.desired() + r.maxSurge() - total(r.all())
	if room <= 0 {
		return now
	}
	return now + min(room, r.desired()-now)
}

// resize sets the replicas of a copy, and tells whether that changed them.
func (r *rollout) resize(rs *appsv1.ReplicaSet, to int32) bool {
	if *rs.Spec.Replicas == to {
		return false
	}
	*rs.Spec.Replicas = to
	r.annotateReplicas(rs)
	return true
}

// isScalingEvent tells whether the deployment's size has changed since an active set was last scaled.
func (r *rollout) isScalingEvent() bool {
	for _, rs := range active(r.all()) {
		if n, ok := numberIn(rs, desiredAnnotation); ok && n != r.desired() {
			return true
		}
	}
	return false
}

// scale shares a change of size out. With one active set (or none) that set takes it all. In the middle of a rollout every
// active set gets its proportion: growing only the new set would hasten a rollout that may be going wrong.
func (r *rollout) scale() {
	if one, ok := r.activeOrLatest(); ok {
		if one != nil {
			r.resize(one, r.desired())
		}
		return
	}
	if r.saturated() {
		for _, rs := range active(r.old) {
			r.resize(rs, 0)
		}
		return
	}
	if r.rolls() {
		r.scaleInProportion(active(r.all()))
	}
}

// activeOrLatest returns the only active set, or the newest when none is active. ok is false when several are active.
func (r *rollout) activeOrLatest() (*appsv1.ReplicaSet, bool) {
	act := active(r.all())
	switch {
	case len(act) == 1:
		return act[0], true
	case len(act) > 1:
		return nil, false
	case r.newSet != nil:
		return r.newSet, true
	case len(r.old) > 0:
		return byAge(r.old)[len(r.old)-1], true
	}
	return nil, true
}

// saturated tells whether the new set holds all replicas, for this size, and they are available.
func (r *rollout) saturated() bool {
	if r.newSet == nil {
		return false
	}
	n, ok := numberIn(r.newSet, desiredAnnotation)
	return ok && n == r.desired() && *r.newSet.Spec.Replicas == n && r.newSet.Status.AvailableReplicas == n
}

func (r *rollout) scaleInProportion(sets []*appsv1.ReplicaSet) {
	allowed := int32(0)
	if r.desired() > 0 {
		allowed = r.desired() + r.maxSurge()
	}
	toAdd := allowed - total(sets)
	// Larger sets first. Of equals the newer grows first and the older shrinks first.
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		age := compareAge(a, b)
		if toAdd > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas), age)
	})
	sizes := make([]int32, len(sets))
	added := int32(0)
	for i, rs := range sets {
		part := r.proportion(rs, toAdd, added)
		sizes[i] = *rs.Spec.Replicas + part
		added += part
	}
	if len(sizes) > 0 {
		sizes[0] = max(0, sizes[0]+toAdd-added) // what rounding left over
	}
	for i, rs := range sets {
		*rs.Spec.Replicas = sizes[i]
		r.annotateReplicas(rs)
	}
}

// proportion is the set's share of the replicas to add (or, when negative, to remove), within what is left of them.
func (r *rollout) proportion(rs *appsv1.ReplicaSet, toAdd, added int32) int32 {
	if *rs.Spec.Replicas == 0 || toAdd == added {
		return 0
	}
	if toAdd > 0 {
		return min(r.fraction(rs), toAdd-added)
	}
	return max(r.fraction(rs), toAdd-added)
}

func (r *rollout) fraction(rs *appsv1.ReplicaSet) int32 {
	size := *rs.Spec.Replicas
	if r.desired() == 0 {
		return -size
	}
	before, ok := numberIn(rs, maxAnnotation)
	if !ok || before == 0 {
		if before = r.d.Status.Replicas; before == 0 {
			return 0
		}
	}
	after := float64(size) * float64(r.desired()+r.maxSurge()) / float64(before)
	return int32(math.Round(after)) - size
}

// cleanUp deletes the oldest sets beyond the history limit, of those that have no pods.
func (r *rollout) cleanUp() {
	limit := r.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return
	}
	var alive []*appsv1.ReplicaSet
	for _, rs := range r.old {
		if rs.DeletionTimestamp == nil {
			alive = append(alive, rs)
		}
	}
	slices.SortStableFunc(alive, func(a, b *appsv1.ReplicaSet) int {
		ra, oka := revisionOf(a)
		rb, okb := revisionOf(b)
		if !oka || !okb || ra == rb {
			return compareAge(a, b)
		}
		return cmp.Compare(ra, rb)
	})
	for i := range len(alive) - int(*limit) {
		rs := alive[i]
		if rs.Status.Replicas == 0 && *rs.Spec.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration {
			r.delete = append(r.delete, rs)
		}
	}
}

func numberIn(rs *appsv1.ReplicaSet, annotation string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[annotation], 10, 32)
	return int32(n), err == nil && n >= 0
}

func total(sets []*appsv1.ReplicaSet) (n int32) {
	for _, rs := range sets {
		n += *rs.Spec.Replicas
	}
	return n
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var act []*appsv1.ReplicaSet
	for _, rs := range sets {
		if *rs.Spec.Replicas > 0 {
			act = append(act, rs)
		}
	}
	return act
}

func compareAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// byAge returns the sets, the oldest first.
func byAge(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	return slices.SortedStableFunc(slices.Values(sets), compareAge)
}
