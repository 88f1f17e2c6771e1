package upstreamtest

import (
	"math/rand"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

// filler fills objects with values that mean something: few different ones, so that two random objects often agree.
func filler(scheme *runtime.Scheme, seed int64) *randfill.Filler {
	funcs := fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, simple, enums)
	return fuzzer.FuzzerFor(funcs, rand.NewSource(seed), serializer.NewCodecFactory(scheme)).NumElements(0, 3).MaxDepth(14)
}

const digest = "x@sha256:0123456789012345678901234567890123456789012345678901234567890123"

func simple(serializer.CodecFactory) []any {
	day := func(c randfill.Continue) time.Time { return time.Unix(1600000000+c.Int63n(100000000), 0) }
	return []any{
		func(q *resource.Quantity, c randfill.Continue) { *q = *quantity(c) },
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = intstr.FromString(pick(c, "", "a", "25%"))
			if c.Bool() {
				*v = intstr.FromInt32(c.Int31n(3))
			}
		},
		func(r *runtime.RawExtension, _ randfill.Continue) { r.Raw = []byte(`{"a":1}`) },
		func(s *string, c randfill.Continue) { *s = pick(c, "", "", "a", "b", "latest", "nginx:latest", digest) },
		func(n *int32, c randfill.Continue) { *n = c.Int31n(4) },
		func(n *int64, c randfill.Continue) { *n = c.Int63n(4) },
		func(t *metav1.Time, c randfill.Continue) {
			if c.Bool() {
				t.Time = day(c)
			}
		},
		func(t *metav1.MicroTime, c randfill.Continue) {
			if c.Bool() {
				t.Time = day(c)
			}
		},
		func(r *metav1.OwnerReference, c randfill.Continue) {
			controller := c.Bool()
			*r = metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "a", Controller: &controller}
		},
	}
}

func pick[T any](c randfill.Continue, values ...T) T { return values[c.Intn(len(values))] }

func one[T any](values ...T) func(*T, randfill.Continue) {
	return func(v *T, c randfill.Continue) { *v = pick(c, values...) }
}

func quantity(c randfill.Continue) *resource.Quantity {
	return resource.NewMilliQuantity(c.Int63n(1e6), resource.DecimalSI)
}

func enums(serializer.CodecFactory) []any {
	return []any{
		one[corev1.ServiceType]("", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
		one[corev1.ServiceAffinity]("", "None", "ClientIP"),
		one[corev1.ServiceExternalTrafficPolicy]("", "Local", "Cluster"),
		one[corev1.PodPhase]("", "Pending", "Running", "Succeeded", "Failed"),
		one[corev1.ConditionStatus]("", "True", "False"),
		one[corev1.PodConditionType]("Ready", "Initialized", "PodScheduled", "x"),
		one[corev1.LimitType]("Container", "Pod"),
		one[corev1.ResourceName]("cpu", "memory", "storage", "limits.cpu", "hugepages-2Mi"),
		one[corev1.ContainerRestartPolicy]("Always", "Never"),
		one[corev1.PersistentVolumeAccessMode]("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"),
		one[corev1.NodeConditionType]("Ready", "x"),
		one[corev1.NodeAddressType]("InternalIP", "ExternalIP"),
		one[batchv1.JobConditionType]("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"),
		one[appsv1.DeploymentStrategyType]("", "RollingUpdate", "Recreate"),
		one[appsv1.DaemonSetUpdateStrategyType]("", "RollingUpdate", "OnDelete"),
		one[appsv1.StatefulSetUpdateStrategyType]("", "RollingUpdate", "OnDelete"),
		metric,
		func(v *autoscalingv2.MetricValueStatus, c randfill.Continue) {
			v.Value, v.AverageValue = quantity(c), quantity(c)
			if c.Bool() {
				v.AverageUtilization = new(c.Int31n(100))
			}
		},
	}
}

// metric makes a metric with one source, the one that its type names; upstream's printer needs that.
func metric(m *autoscalingv2.MetricSpec, c randfill.Continue) {
	*m = autoscalingv2.MetricSpec{}
	target := autoscalingv2.MetricTarget{Value: quantity(c), AverageUtilization: new(c.Int31n(100))}
	if c.Bool() {
		target = autoscalingv2.MetricTarget{AverageValue: quantity(c)}
	}
	switch c.Intn(5) {
	case 0:
		m.Type, m.Object = "Object", &autoscalingv2.ObjectMetricSource{Target: target}
	case 1:
		target.AverageValue = quantity(c)
		m.Type, m.Pods = "Pods", &autoscalingv2.PodsMetricSource{Target: target}
	case 2:
		m.Type, m.Resource = "Resource", &autoscalingv2.ResourceMetricSource{Name: "cpu", Target: target}
	case 3:
		m.Type, m.ContainerResource = "ContainerResource", &autoscalingv2.ContainerResourceMetricSource{Name: "cpu", Target: target}
	case 4:
		m.Type, m.External = "External", &autoscalingv2.ExternalMetricSource{Target: target}
	}
}
