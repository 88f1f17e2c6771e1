package cri

import (
	"encoding/json"
	"maps"
	"strconv"

	v1 "k8s.io/api/core/v1"

	"coracle.dev/coracle/internal/node/pod"
)

// The labels and annotations that the kubelet gives sandboxes and containers.
const (
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"

	annotationHash          = "io.kubernetes.container.hash"
	annotationRestartCount  = "io.kubernetes.container.restartCount"
	annotationMessagePath   = "io.kubernetes.container.terminationMessagePath"
	annotationMessagePolicy = "io.kubernetes.container.terminationMessagePolicy"
	annotationPorts         = "io.kubernetes.container.ports"
	annotationPreStop       = "io.kubernetes.container.preStopHandler"
	annotationGrace         = "io.kubernetes.pod.terminationGracePeriod"
)

func podLabels(p *v1.Pod) map[string]string {
	labels := maps.Clone(p.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelPodName] = p.Name
	labels[LabelPodNamespace] = p.Namespace
	labels[LabelPodUID] = string(p.UID)
	return labels
}

func containerLabels(p *v1.Pod, name string) map[string]string {
	return map[string]string{
		LabelPodName: p.Name, LabelPodNamespace: p.Namespace, LabelPodUID: string(p.UID), LabelContainerName: name,
	}
}

func containerAnnotations(p *v1.Pod, e pod.Entry, restarts uint32) (map[string]string, error) {
	a := map[string]string{
		annotationHash:          pod.SpecHash(e.Container),
		annotationRestartCount:  strconv.FormatUint(uint64(restarts), 10),
		annotationMessagePath:   e.TerminationMessagePath,
		annotationMessagePolicy: string(e.TerminationMessagePolicy),
		annotationGrace:         strconv.FormatInt(pod.Grace(p), 10),
	}
	if len(e.Ports) > 0 {
		ports, err := json.Marshal(e.Ports)
		if err != nil {
			return nil, err
		}
		a[annotationPorts] = string(ports)
	}
	if e.Lifecycle != nil && e.Lifecycle.PreStop != nil {
		hook, err := json.Marshal(e.Lifecycle.PreStop)
		if err != nil {
			return nil, err
		}
		a[annotationPreStop] = string(hook)
	}
	return a, nil
}
