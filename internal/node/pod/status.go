package pod

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Status computes what to report. It starts from o.Last: conditions and fields that others own stay.
func Status(p *v1.Pod, o *Observed) v1.PodStatus {
	s := *o.Last.DeepCopy()
	s.ObservedGeneration = p.Generation
	s.QOSClass = QOS(p)
	if s.StartTime == nil {
		now := metav1.NewTime(o.Now).Rfc3339Copy()
		s.StartTime = &now
	}
	addresses(p, o, &s)

	why := ending(p, o)
	stopped := why != nil && len(o.active()) == 0 && len(o.Starting) == 0
	statuses := containerStatuses(p, o, why != nil, stopped)
	s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses = nil, nil, nil
	for i, e := range Entries(p) {
		if rejected(o) {
			break
		}
		switch e.Role {
		case Init, Sidecar:
			s.InitContainerStatuses = append(s.InitContainerStatuses, statuses[i])
		case Main:
			s.ContainerStatuses = append(s.ContainerStatuses, statuses[i])
		case Ephemeral:
			s.EphemeralContainerStatuses = append(s.EphemeralContainerStatuses, statuses[i])
		}
	}
	s.Phase = phase(p, o, statuses, why, stopped)
	if stopped {
		reasons(p, o, &s)
	}
	s.Conditions = conditions(p, o, statuses, s.Phase)
	return s
}

// rejected says that the node refused the pod before anything of it existed: there is nothing to tell of its containers.
func rejected(o *Observed) bool {
	return o.End != nil && len(o.Containers) == 0 && len(o.Sandboxes) == 0 && len(o.Last.ContainerStatuses) == 0
}

// reasons sets the pod's reason and message when something other than its containers decided its end.
func reasons(p *v1.Pod, o *Observed, s *v1.PodStatus) {
	switch {
	case IsTerminal(o.Last.Phase):
	case o.End != nil:
		s.Reason, s.Message = o.End.Reason, o.End.Message
	case p.DeletionTimestamp == nil && !o.Gone && deadlinePassed(p, o):
		s.Reason, s.Message = deadlineReason, deadlineMessage
	}
}

func addresses(p *v1.Pod, o *Observed, s *v1.PodStatus) {
	if len(o.HostIPs) > 0 {
		s.HostIP = o.HostIPs[0]
		s.HostIPs = nil
		for _, ip := range o.HostIPs {
			s.HostIPs = append(s.HostIPs, v1.HostIP{IP: ip})
		}
	}
	ips := IPs(p, o)
	if len(ips) == 0 {
		return
	}
	s.PodIP = ips[0]
	s.PodIPs = nil
	for _, ip := range ips {
		s.PodIPs = append(s.PodIPs, v1.PodIP{IP: ip})
	}
}

// IPs returns the pod's addresses now, the host's for a pod on the host network.
func IPs(p *v1.Pod, o *Observed) []string {
	s := currentSandbox(p, o)
	if s == nil {
		return nil
	}
	if p.Spec.HostNetwork {
		return o.HostIPs
	}
	return s.IPs
}

// phase sums the containers' states up. stopped says that the pod must end and none of its containers runs any more.
func phase(p *v1.Pod, o *Observed, statuses []v1.ContainerStatus, why *cause, stopped bool) v1.PodPhase {
	if IsTerminal(o.Last.Phase) {
		return o.Last.Phase
	}
	if why != nil && !why.deleted && !why.finished && stopped {
		return v1.PodFailed
	}
	t := count(p, statuses)
	switch {
	case t.initFailed:
		if t.running > 0 && !stopped {
			return v1.PodPending
		}
		return v1.PodFailed
	case t.initPending && !stopped, t.waiting > 0 && !stopped:
		return v1.PodPending
	case t.running > 0:
		return v1.PodRunning
	case stopped && t.stopped+t.waiting > 0:
		if t.succeeded == t.mains {
			return v1.PodSucceeded
		}
		return v1.PodFailed
	case t.stopped > 0 && t.restartable > 0:
		return v1.PodRunning
	case t.stopped > 0 && t.succeeded == t.stopped:
		return v1.PodSucceeded
	case t.stopped > 0:
		return v1.PodFailed
	}
	return v1.PodPending
}

// tally counts containers for the phase.
type tally struct {
	initPending, initFailed                                  bool
	mains, running, waiting, stopped, succeeded, restartable int
}

// hasBegun tells whether some instance of the container runs or has run.
func hasBegun(st *v1.ContainerStatus) bool {
	return st.State.Running != nil || st.State.Terminated != nil || st.LastTerminationState.Terminated != nil
}

func count(p *v1.Pod, statuses []v1.ContainerStatus) tally {
	var t tally
	began := slices.ContainsFunc(statuses, func(st v1.ContainerStatus) bool {
		e, _ := Find(p, st.Name)
		return e.Role == Main && hasBegun(&st)
	})
	for i, e := range Entries(p) {
		st := &statuses[i]
		ended := st.State.Terminated
		if ended == nil && st.State.Running == nil {
			ended = st.LastTerminationState.Terminated
		}
		switch e.Role {
		case Init:
			switch {
			case ended != nil && ended.ExitCode == 0:
			case ended != nil && !e.restartsAfter(p, ended.ExitCode):
				t.initFailed = true
			case !began:
				t.initPending = true
			}
		case Sidecar:
			if st.State.Running != nil {
				t.running++
			}
			if !began && (st.Started == nil || !*st.Started) {
				t.initPending = true
			}
		case Main:
			t.mains++
			switch {
			case st.State.Running != nil:
				t.running++
			case ended == nil:
				t.waiting++
			default:
				t.stopped++
				if ended.ExitCode == 0 {
					t.succeeded++
				}
				if e.restartsAfter(p, ended.ExitCode) {
					t.restartable++
				}
			}
		case Ephemeral: // does not count
		}
	}
	return t
}
