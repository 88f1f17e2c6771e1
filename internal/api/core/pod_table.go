package core

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api/meta"
)

// nodeUnreachable is the status reason the node lifecycle controller gives to pods of a node that stopped answering.
const nodeUnreachable = "NodeLost"

func podColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PodSpec{}.SwaggerDoc(), corev1.PodStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		meta.NameColumn(),
		meta.Column("Ready", "How many of the pod's containers are ready, of how many."),
		meta.Column("Status", "The pod's state, summed up from those of its containers."),
		meta.Column("Restarts", "How often containers of the pod were restarted, and when the last time was."),
		meta.AgeColumn(),
		meta.Wide(meta.Column("IP", status["podIP"])),
		meta.Wide(meta.Column("Node", spec["nodeName"])),
		meta.Wide(meta.Column("Nominated Node", status["nominatedNodeName"])),
		meta.Wide(meta.Column("Readiness Gates", spec["readinessGates"])),
	}
}

func podRow(p *corev1.Pod, now time.Time) []any {
	s := summarize(p)
	restarts := strconv.Itoa(s.restarts)
	if s.restarts != 0 && !s.lastRestart.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.restarts, meta.Since(s.lastRestart, now))
	}
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, meta.Age(p, now),
		meta.OrNone(ip), meta.OrNone(p.Spec.NodeName), meta.OrNone(p.Status.NominatedNodeName), readinessGates(p),
	}
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return meta.None
	}
	open := 0
	for _, gate := range p.Spec.ReadinessGates {
		if c := nthCondition(p.Status.Conditions, gate.ConditionType, 0); c != nil && c.Status == corev1.ConditionTrue {
			open++
		}
	}
	return fmt.Sprintf("%d/%d", open, len(p.Spec.ReadinessGates))
}

func podRowConditions(p *corev1.Pod) []metav1.TableRowCondition {
	message := ""
	switch p.Status.Phase {
	case corev1.PodSucceeded:
		message = "The pod has completed successfully."
	case corev1.PodFailed:
		message = "The pod failed."
	default:
		return nil
	}
	return []metav1.TableRowCondition{{
		Type: metav1.RowCompleted, Status: metav1.ConditionTrue, Reason: string(p.Status.Phase), Message: message,
	}}
}

// summary is a pod's state in one line.
type summary struct {
	reason       string
	ready, total int
	restarts     int
	lastRestart  metav1.Time
}

// summarize sums a pod up: init containers first, and once they are through, the containers.
func summarize(p *corev1.Pod) summary {
	s := summary{reason: string(p.Status.Phase), total: len(p.Spec.Containers)}
	if p.Status.Reason != "" {
		s.reason = p.Status.Reason
	}
	if c := nthCondition(p.Status.Conditions, corev1.PodScheduled, 0); c != nil && c.Reason == corev1.PodReasonSchedulingGated {
		s.reason = corev1.PodReasonSchedulingGated
	}
	sidecars := map[string]bool{}
	for i := range p.Spec.InitContainers {
		if restartable(&p.Spec.InitContainers[i]) {
			sidecars[p.Spec.InitContainers[i].Name] = true
			s.total++
		}
	}
	initializing, sidecarRestarts, sidecarLast := s.addInit(p, sidecars)
	initialized := nthCondition(p.Status.Conditions, corev1.PodInitialized, 0)
	if !initializing || initialized != nil && initialized.Status == corev1.ConditionTrue {
		s.restarts, s.lastRestart = sidecarRestarts, sidecarLast
		s.addContainers(p)
	}
	if p.DeletionTimestamp != nil {
		switch {
		case p.Status.Reason == nodeUnreachable:
			s.reason = "Unknown"
		case p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded:
			s.reason = "Terminating"
		}
	}
	return s
}

func restartable(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// addInit counts init containers up to the first that is not through. It returns whether there is one, and the restarts of
// sidecars alone.
func (s *summary) addInit(p *corev1.Pod, sidecars map[string]bool) (bool, int, metav1.Time) {
	restarts, last := 0, metav1.Time{}
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.restarts += int(c.RestartCount)
		s.lastRestart = laterRestart(s.lastRestart, c)
		sidecar := sidecars[c.Name]
		if sidecar {
			restarts += int(c.RestartCount)
			last = laterRestart(last, c)
		}
		switch {
		case c.State.Terminated != nil && c.State.Terminated.ExitCode == 0:
			continue
		case sidecar && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case c.State.Terminated != nil:
			s.reason = "Init:" + terminatedReason(c.State.Terminated)
		case c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "PodInitializing":
			s.reason = "Init:" + c.State.Waiting.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true, restarts, last
	}
	return false, restarts, last
}

// addContainers counts the containers from the last to the first: the first one's trouble is the pod's.
func (s *summary) addContainers(p *corev1.Pod) {
	running, failure := false, ""
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.restarts += int(c.RestartCount)
		s.lastRestart = laterRestart(s.lastRestart, c)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			s.reason = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			s.reason = terminatedReason(c.State.Terminated)
			if c.State.Terminated.ExitCode != 0 {
				failure = s.reason
			}
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason != "Completed" {
		return
	}
	// One container has completed; the others decide what the pod is.
	ready := nthCondition(p.Status.Conditions, corev1.PodReady, 0)
	switch {
	case running && ready != nil && ready.Status == corev1.ConditionTrue:
		s.reason = "Running"
	case failure != "":
		s.reason = failure
	case running:
		s.reason = "NotReady"
	}
}

func terminatedReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func laterRestart(last metav1.Time, c *corev1.ContainerStatus) metav1.Time {
	if t := c.LastTerminationState.Terminated; t != nil && last.Before(&t.FinishedAt) {
		return t.FinishedAt
	}
	return last
}
