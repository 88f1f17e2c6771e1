package core

import (
	"fmt"
	"sort"
	"strings"
)

// Diagnosis explains why no node will do.
type Diagnosis struct {
	Nodes int
	// ByNode holds each rejected node's rejection.
	ByNode map[string]*Rejection
	// Plugins names the plugins that rejected something: events that concern none of them can't help the pod.
	Plugins map[string]bool
	// Whole is set when a plugin rejected the pod for all nodes at once.
	Whole *Rejection
}

func newDiagnosis(nodes int) Diagnosis {
	return Diagnosis{Nodes: nodes, ByNode: map[string]*Rejection{}, Plugins: map[string]bool{}}
}

// Message explains the diagnosis in upstream's words: "0/3 nodes are available: 1 Insufficient cpu, ...".
func (d *Diagnosis) Message() string {
	if d.Nodes == 0 {
		return "no nodes available to schedule pods"
	}
	if d.Whole != nil {
		return fmt.Sprintf("0/%d nodes are available: %s.", d.Nodes, strings.Join(d.Whole.Reasons, ", "))
	}
	count := map[string]int{}
	for _, r := range d.ByNode {
		for _, reason := range r.Reasons {
			count[reason]++
		}
	}
	return histogram(d.Nodes, count)
}

func histogram(nodes int, count map[string]int) string {
	parts := make([]string, 0, len(count))
	for reason, n := range count {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	sort.Strings(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", nodes, strings.Join(parts, ", "))
}
