package deployment

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/dump"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// The annotations that upstream and kubectl use.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"

	hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

	// historyMost bounds the history annotation, in characters.
	historyMost = 2000
)

// notCopied tells whether an annotation is not to be copied from a deployment to its sets and back.
func notCopied(key string) bool {
	switch key {
	case corev1.LastAppliedConfigAnnotation, revisionAnnotation, historyAnnotation, desiredAnnotation, maxAnnotation,
		appsv1.DeprecatedRollbackTo:
		return true
	}
	return false
}

// syncRevision makes the new set's annotations and the deployment's revision agree, and when create is asked for and the
// deployment has no set of its template yet, adds one to be created.
func (r *rollout) syncRevision(create bool) {
	revision := maxRevision(r.old) + 1
	if r.newSet == nil {
		if create {
			r.add(revision)
		}
		return
	}
	annotate(r.d, r.newSet, revision)
	r.newSet.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
	r.setRevision(r.newSet.Annotations[revisionAnnotation])
	if hasDeadline(r.d) && condition(r.d.Status, appsv1.DeploymentProgressing) == nil {
		r.setCondition(&r.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, foundSetReason,
			fmt.Sprintf("Found new replica set %q", r.newSet.Name))
	}
}

// add makes the set of the current template. When another object has its name already, two templates have the same hash: the
// collision count goes into the next hash.
func (r *rollout) add(revision int64) {
	hash := templateHash(&r.d.Spec.Template, r.d.Status.CollisionCount)
	name := setName(r.d.Name, hash)
	if _, taken := r.v.Get(kinds.ReplicaSets(), r.d.Namespace, name); taken {
		n := int32(1)
		if c := r.d.Status.CollisionCount; c != nil {
			n = *c + 1
		}
		r.d.Status.CollisionCount = &n
		return
	}
	template := *r.d.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels, hash)
	selector := r.d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, hash)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: r.d.Namespace, Labels: maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, kinds.Deployment())},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32), MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: selector, Template: template,
		},
	}
	r.newSet, r.created = rs, true
	*rs.Spec.Replicas = r.roomForNew()
	annotate(r.d, rs, revision)
	r.annotateReplicas(rs)
	if err := r.createFailure(); err != nil {
		if hasDeadline(r.d) {
			r.setCondition(&r.d.Status, appsv1.DeploymentProgressing, corev1.ConditionFalse, createErrorReason,
				fmt.Sprintf("Failed to create new replica set %q: %v", name, err))
		}
		return
	}
	r.setRevision(strconv.FormatInt(revision, 10))
	if hasDeadline(r.d) {
		r.setCondition(&r.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, newSetReason,
			fmt.Sprintf("Created new replica set %q", name))
	}
}

// createFailure returns why the last plan could not create its set.
func (r *rollout) createFailure() error {
	err := r.last.Failed(client.Create, kinds.ReplicaSets())
	if apierrors.IsAlreadyExists(err) {
		return nil // add deals with it, now that the view shows the other one
	}
	return err
}

func (r *rollout) setRevision(revision string) {
	if r.d.Annotations[revisionAnnotation] != revision {
		r.d.Annotations = maps.Clone(r.d.Annotations)
		if r.d.Annotations == nil {
			r.d.Annotations = map[string]string{}
		}
		r.d.Annotations[revisionAnnotation] = revision
	}
}

// templateHash is upstream's: FNV-1a over a dump of the template and the collision count, in an alphabet without vowels.
func templateHash(t *corev1.PodTemplateSpec, collisions *int32) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%v", dump.ForHash(*t))
	if collisions != nil {
		b := make([]byte, 8)
		binary.LittleEndian.PutUint32(b, uint32(*collisions))
		_, _ = h.Write(b) // a hash never fails
	}
	return safeEncode(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// safeEncode writes the text in letters and digits that cannot form words.
func safeEncode(text string) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	encoded := make([]byte, len(text))
	for i := range encoded {
		encoded[i] = alphabet[int(text[i])%len(alphabet)]
	}
	return string(encoded)
}

// setName is the deployment's name, cut when too long, and the hash.
func setName(deployment, hash string) string {
	most := validation.DNS1123SubdomainMaxLength - len(hash) - 1
	return deployment[:min(len(deployment), most)] + "-" + hash
}

func with(labels map[string]string, hash string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[hashLabel] = hash
	return labels
}

// sameTemplate compares but for the hash label, which a deployment's own template does not have.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	delete(a.Labels, hashLabel)
	delete(b.Labels, hashLabel)
	return equality.Semantic.DeepEqual(a, b)
}

func revisionOf(rs *appsv1.ReplicaSet) (int64, bool) {
	text, ok := rs.Annotations[revisionAnnotation]
	if !ok {
		return 0, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func maxRevision(sets []*appsv1.ReplicaSet) int64 {
	most := int64(0)
	for _, rs := range sets {
		if n, ok := revisionOf(rs); ok {
			most = max(most, n)
		}
	}
	return most
}

// annotate copies the deployment's annotations to its new set and gives it the revision unless it has a higher one. A set that
// gets a new revision was rolled back to; its old ones are kept in the history annotation.
func annotate(d *appsv1.Deployment, rs *appsv1.ReplicaSet, revision int64) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range d.Annotations {
		if !notCopied(k) {
			rs.Annotations[k] = v
		}
	}
	text, had := rs.Annotations[revisionAnnotation]
	old, err := strconv.ParseInt(text, 10, 64)
	if (err != nil && text != "") || old >= revision {
		return
	}
	rs.Annotations[revisionAnnotation] = strconv.FormatInt(revision, 10)
	if !had {
		return
	}
	var history []string
	if h := rs.Annotations[historyAnnotation]; h != "" {
		history = strings.Split(h, ",")
	}
	history = append(history, text)
	for len(history) > 1 && len(strings.Join(history, ",")) > historyMost {
		history = slices.Delete(history, 0, 1)
	}
	rs.Annotations[historyAnnotation] = strings.Join(history, ",")
}

// annotateReplicas notes on the set for what size of the deployment it was scaled; a later change of size is recognised by it
// and shared out in proportion.
func (r *rollout) annotateReplicas(rs *appsv1.ReplicaSet) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	rs.Annotations[desiredAnnotation] = strconv.Itoa(int(r.desired()))
	rs.Annotations[maxAnnotation] = strconv.Itoa(int(r.desired() + r.maxSurge()))
}

func (r *rollout) event(kindOf, reason, message string) {
	r.events = append(r.events, reconcile.Event{
		Regarding: reconcile.Ref(kinds.Deployment(), r.d), Type: kindOf, Reason: reason, Message: message,
	})
}
