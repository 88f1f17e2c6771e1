package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/serve"
	"coracle.dev/coracle/internal/node/stats"
)

// runServer serves the kubelet API.
func (a *Agent) runServer(ctx context.Context) error {
	if a.cfg.Listen == "-" {
		<-ctx.Done()
		return nil
	}
	authenticate, authorize := a.cfg.Authenticate, a.cfg.Authorize
	if authenticate == nil {
		authenticate = serve.AnyOf(serve.Certificates(a.cfg.ClientCA), serve.Tokens(a.cfg.Client, a.cfg.Now))
	}
	if authorize == nil {
		authorize = serve.Reviews(a.cfg.Client, a.cfg.NodeName, a.cfg.Now)
	}
	provider := &stats.Provider{
		Runtime: a.runtime, Images: a.runtime.Images, Node: a.cfg.NodeName, Now: a.cfg.Now,
		Machine: &stats.Machine{Mount: a.cfg.CgroupMount, Root: a.cfg.CgroupRoot, Disk: a.cfg.RootDir},
	}
	return serve.New(serve.Config{
		Listen: a.cfg.Listen, Certificate: a.cfg.ServingCert, Authenticate: authenticate, Authorize: authorize, Host: host{a},
		Runtime: a.runtime, Logs: a.logs, Stats: provider, Metrics: a.metrics(), SystemLogs: filepath.Dir(a.cfg.PodLogsDir),
		Logger: a.cfg.Logger, Now: a.cfg.Now,
	}).Run(ctx)
}

// metrics returns the agent's own metrics under upstream's names.
func (a *Agent) metrics() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, f func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", func() float64 {
		n := 0
		for _, w := range a.all() {
			if s := w.shared(); len(s.view.Sandboxes) > 0 && s.view.Sandboxes[0].Ready {
				n++
			}
		}
		return float64(n)
	})
	gauge("kubelet_running_containers", "Number of containers currently running", func() float64 {
		n := 0
		for _, w := range a.all() {
			for _, c := range w.shared().view.Containers {
				if c.State == pod.Running {
					n++
				}
			}
		}
		return float64(n)
	})
	gauge("kubelet_active_pods", "The number of pods the kubelet considers active",
		func() float64 { return float64(len(a.all())) })
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// host shows the agent to the server.
type host struct{ a *Agent }

// Pods implements serve.Host.
func (h host) Pods() []*v1.Pod {
	var pods []*v1.Pod
	for _, w := range h.a.all() {
		s := w.shared()
		if s.gone {
			continue
		}
		p := s.pod.DeepCopy()
		p.Status = s.status
		pods = append(pods, p)
	}
	return pods
}

// RunningPods implements serve.Host.
func (h host) RunningPods(ctx context.Context) ([]*v1.Pod, error) {
	owners, err := h.a.runtime.Owners(ctx)
	if err != nil {
		return nil, err
	}
	var pods []*v1.Pod
	for uid, o := range owners {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace, UID: types.UID(uid)}}
		view, err := h.a.runtime.Observe(ctx, uid)
		if err != nil {
			return nil, err
		}
		for _, c := range view.Containers {
			if c.State == pod.Running {
				p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: c.Name, Image: c.Image})
			}
		}
		if len(p.Spec.Containers) > 0 {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

func (h host) find(namespace, name, uid string) (shared, error) {
	for _, w := range h.a.all() {
		s := w.shared()
		if s.pod.Namespace == namespace && s.pod.Name == name && (uid == "" || string(s.pod.UID) == uid) && !s.gone {
			return s, nil
		}
	}
	return shared{}, &serve.NotFound{Message: fmt.Sprintf("pod %q does not exist in namespace %q", name, namespace)}
}

// Container implements serve.Host.
func (h host) Container(namespace, name, uid, container string) (string, error) {
	s, err := h.find(namespace, name, uid)
	if err != nil {
		return "", err
	}
	for _, c := range s.view.Containers {
		if c.Name == container && c.State == pod.Running {
			return c.ID, nil
		}
	}
	return "", &serve.NotFound{Message: fmt.Sprintf("container not found (%q)", container)}
}

// Sandbox implements serve.Host.
func (h host) Sandbox(namespace, name, uid string) (string, error) {
	s, err := h.find(namespace, name, uid)
	if err != nil {
		return "", err
	}
	if len(s.view.Sandboxes) == 0 || !s.view.Sandboxes[0].Ready {
		return "", &serve.NotFound{Message: fmt.Sprintf("pod %s has no running sandbox", name)}
	}
	return s.view.Sandboxes[0].ID, nil
}

// Log implements serve.Host.
func (h host) Log(namespace, name, container string, previous bool) (string, <-chan struct{}, error) {
	s, err := h.find(namespace, name, "")
	if err != nil {
		return "", nil, err
	}
	if _, ok := pod.Find(s.pod, container); !ok {
		return "", nil, &serve.NotFound{Message: fmt.Sprintf("container %q not found in pod %q", container, name)}
	}
	id, err := logID(&s.status, name, container, previous)
	if err != nil {
		return "", nil, err
	}
	for _, c := range s.view.Containers {
		if c.ID == id {
			path := filepath.Join(cri.LogDirectory(h.a.cfg.PodLogsDir, s.pod), cri.LogPath(container, uint32(c.Restarts)))
			return path, s.worker.exitOf(id), nil
		}
	}
	return "", nil, &serve.NotFound{Message: fmt.Sprintf("unable to retrieve container logs for %s", id)}
}

// logID returns the container whose log is meant, or says why there is none.
func logID(s *v1.PodStatus, name, container string, previous bool) (string, error) {
	for _, list := range [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			st := &list[i]
			if st.Name != container {
				continue
			}
			last := st.LastTerminationState.Terminated
			switch {
			case previous && last == nil:
				return "", fmt.Errorf("previous terminated container %q in pod %q not found", container, name)
			case previous:
				return bare(last.ContainerID), nil
			case st.State.Running != nil:
				return bare(st.ContainerID), nil
			case st.State.Terminated != nil:
				return bare(st.State.Terminated.ContainerID), nil
			case last != nil:
				return bare(last.ContainerID), nil
			case st.State.Waiting != nil:
				return "", waiting(st.State.Waiting.Reason, container, name)
			}
			return "", fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", container, name)
		}
	}
	return "", fmt.Errorf("container %q in pod %q is not available", container, name)
}

func waiting(reason, container, name string) error {
	switch reason {
	case "ErrImagePull":
		reason = "image can't be pulled"
	case "ImagePullBackOff":
		reason = "trying and failing to pull image"
	}
	return fmt.Errorf("container %q in pod %q is waiting to start: %s", container, name, reason)
}

func bare(id string) string {
	_, id, _ = strings.Cut(id, "://")
	return id
}

// Configuration implements serve.Host, with upstream's field names.
func (h host) Configuration() any {
	c := &h.a.cfg
	return map[string]any{
		"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "clusterDNS": c.ClusterDNS,
		"clusterDomain": c.ClusterDomain, "maxPods": c.MaxPods, "resolvConf": c.ResolvConf, "cgroupRoot": c.CgroupRoot,
		"cgroupDriver": "cgroupfs", "serializeImagePulls": c.SerialPulls,
		"containerRuntimeEndpoint":  "unix://" + strings.TrimPrefix(c.RuntimeSocket, "unix://"),
		"nodeStatusUpdateFrequency": c.StatusPeriod.String(), "nodeStatusReportFrequency": c.StatusReport.String(),
		"nodeLeaseDurationSeconds": int(c.LeaseDuration.Seconds()), "port": h.a.port(),
		"containerLogMaxSize": fmt.Sprint(rotation().MaxSize), "containerLogMaxFiles": rotation().MaxFiles,
	}
}
