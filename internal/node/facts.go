package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/node/cri"
)

// runtimeFeatures are what the runtime said it can do.
type runtimeFeatures struct {
	recursiveReadOnly, users bool
	handlers                 []*runtimeapi.RuntimeHandler
	groupsPolicy             bool
}

func (a *Agent) features() runtimeFeatures {
	if f := a.handlers.Load(); f != nil {
		return *f
	}
	return runtimeFeatures{}
}

func (a *Agent) runtimeName() string {
	if info := a.runtimeInfo.Load(); info != nil {
		return info.Name
	}
	return "containerd"
}

func (a *Agent) memoryCapacity() int64 {
	if n := a.node.Load(); n != nil {
		return n.Status.Capacity.Memory().Value()
	}
	return 0
}

// containerEvent records a fact about one container of a pod.
func (a *Agent) containerEvent(p *v1.Pod, container, kind, reason, message string) {
	ref := a.recorder.Reference(p)
	ref.FieldPath = fieldPath(p, container)
	a.recorder.About(ref, kind, reason, message)
}

func fieldPath(p *v1.Pod, container string) string {
	for i := range p.Spec.InitContainers {
		if p.Spec.InitContainers[i].Name == container {
			return "spec.initContainers{" + container + "}"
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if p.Spec.EphemeralContainers[i].Name == container {
			return "spec.ephemeralContainers{" + container + "}"
		}
	}
	return "spec.containers{" + container + "}"
}

// execSync runs a command in a container; it is a handler.Exec.
func (a *Agent) execSync(ctx context.Context, id string, command []string, timeout time.Duration) (int32, string, error) {
	answer, err := a.runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
		ContainerId: id, Cmd: command, Timeout: int64((timeout + time.Second - 1) / time.Second),
	})
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || strings.Contains(err.Error(), "timed out") ||
			strings.Contains(err.Error(), "DeadlineExceeded") || strings.Contains(err.Error(), "deadline exceeded") {
			return 0, "", context.DeadlineExceeded
		}
		return 0, "", errors.New(cri.Sentence(err))
	}
	return answer.ExitCode, string(answer.Stdout) + string(answer.Stderr), nil
}

// runtimeHandler returns the runtime's name for the pod's runtime class.
func (a *Agent) runtimeHandler(ctx context.Context, p *v1.Pod) (string, error) {
	if p.Spec.RuntimeClassName == nil || *p.Spec.RuntimeClassName == "" {
		return "", nil
	}
	gr := kinds.RuntimeClasses()
	class, err := client.Get[*nodev1.RuntimeClass](ctx, a.cfg.Client, gr, "", *p.Spec.RuntimeClassName)
	if err != nil {
		return "", fmt.Errorf("failed to get sandbox runtime: %w", err)
	}
	return class.Handler, nil
}

// envFile reads one key of an environment file in a volume of the pod.
func (j *job) envFile(ref *v1.FileKeySelector) (string, bool, error) {
	dir, ok := j.agent.volumes.Path(j.pod, ref.VolumeName)
	if !ok {
		return "", false, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", ref.VolumeName)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", false, fmt.Errorf("failed to get host path for volume %q: %w", ref.VolumeName, err)
	}
	defer root.Close()
	f, err := root.Open(filepath.Clean(ref.Path))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("couldn't parse env file")
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	value, found := "", false
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, text, ok := strings.Cut(line, "=")
		if !ok {
			return "", false, fmt.Errorf("couldn't parse env file")
		}
		if strings.TrimSpace(name) == ref.Key {
			value, found = unquoted(strings.TrimSpace(text)), true
		}
	}
	return value, found, scanner.Err()
}

func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func joined(list []string) string { return strings.Join(list, ", ") }
