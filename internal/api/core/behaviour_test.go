package core

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func TestQOSClass(t *testing.T) {
	type requirements = corev1.ResourceRequirements
	type many = []requirements
	full := requirements{Requests: list("cpu", "1", "memory", "1Gi"), Limits: list("cpu", "1000m", "memory", "1024Mi")}
	below := requirements{Requests: list("cpu", "1"), Limits: list("cpu", "2")}
	memory := requirements{Requests: list("memory", "1Gi"), Limits: list("memory", "1Gi")}
	for name, c := range map[string]struct {
		init, containers many
		pod              *requirements
		want             corev1.PodQOSClass
	}{
		"nothing":                  {containers: make(many, 2), want: corev1.PodQOSBestEffort},
		"no containers":            {want: corev1.PodQOSBestEffort},
		"other resources only":     {containers: many{{Requests: list("storage", "1Gi")}}, want: corev1.PodQOSBestEffort},
		"all equal":                {containers: many{full, full}, want: corev1.PodQOSGuaranteed},
		"one without":              {containers: many{full, {}}, want: corev1.PodQOSBurstable},
		"init container without":   {init: make(many, 1), containers: many{full}, want: corev1.PodQOSBurstable},
		"requests below limits":    {containers: many{below}, want: corev1.PodQOSBurstable},
		"memory only":              {containers: many{memory}, want: corev1.PodQOSBurstable},
		"zero counts as nothing":   {containers: many{{Requests: list("cpu", "0")}}, want: corev1.PodQOSBestEffort},
		"the pod's own resources":  {containers: make(many, 1), pod: &full, want: corev1.PodQOSGuaranteed},
		"empty resources of a pod": {containers: many{full}, pod: &requirements{}, want: corev1.PodQOSGuaranteed},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{Spec: corev1.PodSpec{Resources: c.pod}}
			for _, r := range c.init {
				p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Resources: r})
			}
			for _, r := range c.containers {
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Resources: r})
			}
			if got := ComputeQOSClass(p); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestQOSClassIgnoresOrder: the class does not depend on the order of containers.
func TestQOSClassIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.SampledFrom([]string{"0", "1", "2"})
		n := rapid.IntRange(1, 4).Draw(t, "containers")
		p := &corev1.Pod{}
		for range n {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Resources: corev1.ResourceRequirements{
				Requests: list("cpu", amount.Draw(t, "cpu"), "memory", amount.Draw(t, "memory")),
				Limits:   list("cpu", amount.Draw(t, "cpu limit"), "memory", amount.Draw(t, "memory limit")),
			}})
		}
		want := ComputeQOSClass(p)
		slices.Reverse(p.Spec.Containers)
		if got := ComputeQOSClass(p); got != want {
			t.Fatalf("%s one way and %s the other", want, got)
		}
	})
}

func TestPodGracePeriod(t *testing.T) {
	for name, c := range map[string]struct {
		node  string
		phase corev1.PodPhase
		spec  *int64
		asked *int64
		want  int64
	}{
		"the pod's own":        {node: "n", spec: new(int64(30)), want: 30},
		"as asked":             {node: "n", spec: new(int64(30)), asked: new(int64(5)), want: 5},
		"at once":              {node: "n", spec: new(int64(30)), asked: new(int64(0)), want: 0},
		"negative is a second": {node: "n", spec: new(int64(30)), asked: new(int64(-1)), want: 1},
		"no node":              {spec: new(int64(30)), asked: new(int64(5)), want: 0},
		"finished":             {node: "n", phase: corev1.PodSucceeded, spec: new(int64(30)), want: 0},
		"failed":               {node: "n", phase: corev1.PodFailed, spec: new(int64(30)), want: 0},
		"none anywhere":        {node: "n", want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: c.node, TerminationGracePeriodSeconds: c.spec}}
			p.Status.Phase = c.phase
			if got := podGracePeriod(p, c.asked); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestPullPolicy(t *testing.T) {
	const digest = "@sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for image, want := range map[string]corev1.PullPolicy{
		"nginx":                       corev1.PullAlways,
		"nginx:latest":                corev1.PullAlways,
		"nginx:1.27":                  corev1.PullIfNotPresent,
		"localhost:5000/nginx":        corev1.PullAlways,
		"localhost:5000/nginx:v1":     corev1.PullIfNotPresent,
		"nginx" + digest:              corev1.PullIfNotPresent,
		"nginx:latest" + digest:       corev1.PullAlways,
		"":                            corev1.PullIfNotPresent,
		"Not A Reference":             corev1.PullIfNotPresent,
		"registry.example.com/a/b/c:": corev1.PullIfNotPresent,
	} {
		if got := pullPolicy(image); got != want {
			t.Errorf("%q: got %s, want %s", image, got, want)
		}
	}
}

func TestServiceTypeChange(t *testing.T) {
	old := &corev1.Service{Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.43.0.9", ClusterIPs: []string{"10.43.0.9"},
		IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicySingleStack),
		Ports:                 []corev1.ServicePort{{Port: 80, NodePort: 30080}},
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: 30081,
		AllocateLoadBalancerNodePorts: new(true), LoadBalancerClass: new("c"),
	}}
	old.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}

	s := old.DeepCopy()
	s.Spec.Type = corev1.ServiceTypeClusterIP
	prepareServiceUpdate(s, old)
	if s.Spec.Ports[0].NodePort != 0 || s.Spec.HealthCheckNodePort != 0 || s.Spec.LoadBalancerClass != nil ||
		s.Spec.AllocateLoadBalancerNodePorts != nil || s.Spec.ExternalTrafficPolicy != "" || len(s.Status.LoadBalancer.Ingress) != 0 {
		t.Errorf("what a load balancer had is still there: %+v", s)
	}
	if s.Spec.ClusterIP != "10.43.0.9" {
		t.Error("the cluster address went with it")
	}

	s = old.DeepCopy()
	s.Spec.Type = corev1.ServiceTypeExternalName
	prepareServiceUpdate(s, old)
	if s.Spec.ClusterIP != "" || s.Spec.ClusterIPs != nil || s.Spec.IPFamilies != nil || s.Spec.IPFamilyPolicy != nil {
		t.Errorf("an external name kept addresses: %+v", s.Spec)
	}

	s = old.DeepCopy()
	s.Spec.Type = corev1.ServiceTypeClusterIP
	s.Spec.Ports[0].NodePort = 31000
	prepareServiceUpdate(s, old)
	if s.Spec.Ports[0].NodePort != 31000 {
		t.Error("a node port that the client chose must stay for validation to refuse")
	}
}

func TestPodSubresources(t *testing.T) {
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 4, Labels: map[string]string{"a": "b"}}}
	old.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	old.Spec.NodeName = "n"

	p := old.DeepCopy()
	p.Labels = nil
	p.Spec.NodeName = "elsewhere"
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "d"}}}
	preparePodEphemeral(p, old)
	if p.Spec.NodeName != "n" || len(p.Spec.EphemeralContainers) != 1 || p.Labels["a"] != "b" || p.Generation != 5 {
		t.Errorf("ephemeral containers: %+v", p)
	}

	p = old.DeepCopy()
	p.Spec.Containers[0].Image = "other"
	p.Spec.Containers[0].Resources.Requests = list("cpu", "1")
	preparePodResize(p, old)
	if p.Spec.Containers[0].Image != "i" || p.Spec.Containers[0].Resources.Requests.Cpu().Value() != 1 || p.Generation != 5 {
		t.Errorf("resize: %+v", p.Spec.Containers)
	}
	if old.Spec.Containers[0].Resources.Requests != nil {
		t.Error("resize changed the old pod")
	}
}

func TestPodStatusWrite(t *testing.T) {
	old := &corev1.Pod{}
	old.OwnerReferences = []metav1.OwnerReference{{Name: "owner"}}
	old.Status = corev1.PodStatus{
		QOSClass: corev1.PodQOSGuaranteed, ObservedGeneration: 3, ResourceClaimStatuses: []corev1.PodResourceClaimStatus{{Name: "r"}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, ObservedGeneration: 2}},
	}
	now := metav1.Now()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}, {Type: corev1.PodInitialized}}
	preparePodStatus(p, old)
	if p.DeletionTimestamp != nil || len(p.OwnerReferences) != 1 {
		t.Error("a status write deletes a pod or orphans it")
	}
	s := p.Status
	if s.QOSClass != corev1.PodQOSGuaranteed || s.ObservedGeneration != 3 || len(s.ResourceClaimStatuses) != 1 ||
		s.Conditions[0].ObservedGeneration != 2 || s.Conditions[1].ObservedGeneration != 0 {
		t.Errorf("what the writer left out is lost: %+v", s)
	}
}

func TestGatedPod(t *testing.T) {
	p := &corev1.Pod{Spec: corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: "g"}}}}
	preparePod(p)
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	stampPod(p, nil, now)
	c := p.Status.Conditions[0]
	if c.Type != corev1.PodScheduled || c.Reason != corev1.PodReasonSchedulingGated || !c.LastTransitionTime.Time.Equal(now) {
		t.Errorf("condition %+v", c)
	}
}

func TestOwnLabelKeys(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"version": "2"}}}
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{}, MatchLabelKeys: []string{"version", "absent"}, MismatchLabelKeys: []string{"version"},
		}},
	}}
	p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		LabelSelector: &metav1.LabelSelector{}, MatchLabelKeys: []string{"version"},
	}, {MatchLabelKeys: []string{"version"}}}
	preparePod(p)
	got := p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector
	if s := metav1.FormatLabelSelector(got); s != "version in (2),version notin (2)" {
		t.Errorf("affinity selects %s", s)
	}
	if s := metav1.FormatLabelSelector(p.Spec.TopologySpreadConstraints[0].LabelSelector); s != "version in (2)" {
		t.Errorf("spreading selects %s", s)
	}
}

func TestAlphaFields(t *testing.T) {
	withMode := func() *corev1.PodSpec {
		return &corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Mode: new(int32(0o700))},
		}}}}
	}
	s := withMode()
	dropAlphaSpec(s, nil)
	if s.Volumes[0].EmptyDir.Mode != nil {
		t.Error("an alpha field is accepted on create")
	}
	s = withMode()
	dropAlphaSpec(s, withMode())
	if s.Volumes[0].EmptyDir.Mode == nil {
		t.Error("an object lost an alpha field that it had")
	}
	c := &corev1.PodSpec{Containers: []corev1.Container{{Lifecycle: &corev1.Lifecycle{StopSignal: new(corev1.SIGUSR1)}}}}
	dropAlphaSpec(c, nil)
	if c.Containers[0].Lifecycle != nil {
		t.Errorf("an empty lifecycle is left: %+v", c.Containers[0].Lifecycle)
	}
}

func TestClaimDataSources(t *testing.T) {
	group := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		in        corev1.PersistentVolumeClaimSpec
		old       *corev1.PersistentVolumeClaimSpec
		src, copy bool
	}{
		"a claim": {
			in: corev1.PersistentVolumeClaimSpec{
				DataSource: &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "c"},
			},
			src: true, copy: true,
		},
		"a snapshot by reference": {
			in: corev1.PersistentVolumeClaimSpec{
				DataSourceRef: &corev1.TypedObjectReference{APIGroup: group(snapshotGroup), Kind: "VolumeSnapshot", Name: "s"},
			},
			src: true, copy: true,
		},
		"anything else the old way": {
			in: corev1.PersistentVolumeClaimSpec{
				DataSource: &corev1.TypedLocalObjectReference{APIGroup: group("example.com"), Kind: "Boat", Name: "b"},
			},
		},
		"anything else that was there": {
			in: corev1.PersistentVolumeClaimSpec{
				DataSource: &corev1.TypedLocalObjectReference{APIGroup: group("example.com"), Kind: "Boat", Name: "b"},
			},
			old: &corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{}},
			src: true, copy: true,
		},
		"another namespace": {
			in: corev1.PersistentVolumeClaimSpec{
				DataSourceRef: &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "c", Namespace: group("n")},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.in
			dropForeignNamespace(&s, c.old)
			dropForeignDataSource(&s, c.old)
			syncDataSources(&s)
			if (s.DataSource != nil) != c.src || (s.DataSourceRef != nil) != c.copy {
				t.Errorf("source %+v, reference %+v", s.DataSource, s.DataSourceRef)
			}
		})
	}
}

func TestVolumePhaseTime(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	earlier := metav1.NewTime(now.Add(-time.Hour))
	volume := func(phase corev1.PersistentVolumePhase, since *metav1.Time) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Status: corev1.PersistentVolumeStatus{Phase: phase, LastPhaseTransitionTime: since}}
	}
	old := volume(corev1.VolumeAvailable, &earlier)
	v := volume(corev1.VolumeAvailable, nil)
	stampVolumePhase(v, old, now)
	if !v.Status.LastPhaseTransitionTime.Equal(&earlier) {
		t.Error("the same phase has a new time")
	}
	v = volume(corev1.VolumeBound, &earlier)
	stampVolumePhase(v, old, now)
	if !v.Status.LastPhaseTransitionTime.Time.Equal(now) {
		t.Error("a new phase has the old time")
	}
}
