package core

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Budget is a PodDisruptionBudget as preemption sees it.
type Budget struct {
	namespace string
	selector  labels.Selector
	// allowed is how many more pods may be disrupted; gone are those that the API server has counted already.
	allowed int32
	gone    map[string]metav1.Time
}

// NewBudget reads a PodDisruptionBudget. False when it protects no pod: as upstream, one with an empty selector does not.
func NewBudget(b *policyv1.PodDisruptionBudget) (*Budget, bool) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil || selector.Empty() {
		return nil, false
	}
	return &Budget{
		namespace: b.Namespace, selector: selector, allowed: b.Status.DisruptionsAllowed, gone: b.Status.DisruptedPods,
	}, true
}

func (b *Budget) protects(p *Pod) bool {
	if b.namespace != p.Namespace || len(p.Labels) == 0 || !b.selector.Matches(labels.Set(p.Labels)) {
		return false
	}
	_, counted := b.gone[p.Name]
	return !counted
}

// sortByBudget parts the pods, which are in the order of their importance, into those whose eviction would overdraw a budget and
// the others.
func sortByBudget(pods []*Pod, budgets []*Budget) (overdraw, within []*Pod) {
	left := make([]int32, len(budgets))
	for i, b := range budgets {
		left[i] = b.allowed
	}
	for _, p := range pods {
		over := false
		for i, b := range budgets {
			if !over && b.protects(p) {
				left[i]--
				over = left[i] < 0
			}
		}
		if over {
			overdraw = append(overdraw, p)
		} else {
			within = append(within, p)
		}
	}
	return overdraw, within
}
