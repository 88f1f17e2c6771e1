package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Terms are a pod's affinity and anti-affinity to other pods, with their selectors parsed. The API server has merged
// matchLabelKeys and mismatchLabelKeys into the selectors when the pod was created, so that later changes of its labels don't
// change whom it means.
type Terms struct {
	Required      []Term
	RequiredAnti  []Term
	Preferred     []Term
	PreferredAnti []Term
	// Err says why the terms can't be read; there are none then.
	Err error
}

// Term selects pods, and the key of the node label whose equal values make nodes one domain.
type Term struct {
	TopologyKey string
	// Weight is that of a preferred term, 0 for a required one.
	Weight int64

	selector   labels.Selector
	namespaces []string
	nsSelector labels.Selector
}

// Matches tells whether the term selects the pod; namespaces are those of the View.
func (t *Term) Matches(pod *Pod, namespaces map[string]labels.Set) bool {
	if !slices.Contains(t.namespaces, pod.Namespace) && !t.nsSelector.Matches(namespaces[pod.Namespace]) {
		return false
	}
	return t.selector.Matches(labels.Set(pod.Labels))
}

func (t *Terms) any() bool {
	return len(t.Required)+len(t.RequiredAnti)+len(t.Preferred)+len(t.PreferredAnti) > 0
}

func termsOf(pod *corev1.Pod) Terms {
	a := pod.Spec.Affinity
	if a == nil {
		return Terms{}
	}
	var t Terms
	var err error
	if p := a.PodAffinity; p != nil {
		t.Required, t.Preferred, err = parseTerms(pod, p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution)
		if err != nil {
			return Terms{Err: fmt.Errorf("pod affinity: %w", err)}
		}
	}
	if p := a.PodAntiAffinity; p != nil {
		t.RequiredAnti, t.PreferredAnti, err = parseTerms(pod, p.RequiredDuringSchedulingIgnoredDuringExecution,
			p.PreferredDuringSchedulingIgnoredDuringExecution)
		if err != nil {
			return Terms{Err: fmt.Errorf("pod anti-affinity: %w", err)}
		}
	}
	return t
}

func parseTerms(
	pod *corev1.Pod, hard []corev1.PodAffinityTerm, soft []corev1.WeightedPodAffinityTerm,
) (required, preferred []Term, err error) {
	for i := range hard {
		t, err := parseTerm(pod, &hard[i])
		if err != nil {
			return nil, nil, err
		}
		required = append(required, t)
	}
	for i := range soft {
		t, err := parseTerm(pod, &soft[i].PodAffinityTerm)
		if err != nil {
			return nil, nil, err
		}
		t.Weight = int64(soft[i].Weight)
		preferred = append(preferred, t)
	}
	return required, preferred, nil
}

func parseTerm(pod *corev1.Pod, t *corev1.PodAffinityTerm) (Term, error) {
	term := Term{TopologyKey: t.TopologyKey, namespaces: t.Namespaces}
	if len(t.Namespaces) == 0 && t.NamespaceSelector == nil {
		term.namespaces = []string{pod.Namespace}
	}
	var err error
	// A missing selector selects nothing, an empty one everything.
	if term.selector, err = metav1.LabelSelectorAsSelector(t.LabelSelector); err != nil {
		return Term{}, fmt.Errorf("label selector: %w", err)
	}
	if term.nsSelector, err = metav1.LabelSelectorAsSelector(t.NamespaceSelector); err != nil {
		return Term{}, fmt.Errorf("namespace selector: %w", err)
	}
	return term, nil
}
