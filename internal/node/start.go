package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/cri"
	"coracle.dev/coracle/internal/node/env"
	"coracle.dev/coracle/internal/node/handler"
	"coracle.dev/coracle/internal/node/image"
	"coracle.dev/coracle/internal/node/naming"
	"coracle.dev/coracle/internal/node/pod"
	"coracle.dev/coracle/internal/node/volume"
)

// startContainer brings the image, makes and starts the container and runs its postStart hook.
func (j *job) startContainer(ctx context.Context) error {
	a := j.agent
	e, ok := pod.Find(j.pod, j.op.Container)
	if !ok {
		return fmt.Errorf("pod %s has no container %s", pod.Describe(j.pod), j.op.Container)
	}
	sandbox, err := j.sandboxConfig(j.sandbox.Attempt)
	if err != nil {
		return &failure{reason: reasonConfig, message: err.Error()}
	}
	img, err := j.ensureImage(ctx, e.Name, e.Image, e.ImagePullPolicy, sandbox)
	if err != nil {
		return err
	}
	config, err := j.containerConfig(ctx, e, img, sandbox)
	if err != nil {
		return err
	}
	made, err := a.runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: j.sandbox.ID, Config: config, SandboxConfig: sandbox,
	})
	if err != nil {
		return canceledOr(ctx, &failure{reason: reasonCreate, message: cri.Sentence(err)})
	}
	id := made.ContainerId
	a.containerEvent(j.pod, e.Name, v1.EventTypeNormal, "Created", "Container created")
	if _, err := a.runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id}); err != nil {
		return canceledOr(ctx, &failure{reason: reasonRun, message: cri.Sentence(err), made: true})
	}
	a.containerEvent(j.pod, e.Name, v1.EventTypeNormal, "Started", "Container started")
	j.linkLog(e.Name, id, config.LogPath)
	return j.postStart(ctx, e, id)
}

func canceledOr(ctx context.Context, f *failure) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f
}

func (j *job) ensureImage(
	ctx context.Context, container, name string, policy v1.PullPolicy, sandbox *runtimeapi.PodSandboxConfig,
) (image.Image, error) {
	a := j.agent
	secrets, unreadable := a.source.PullSecrets(ctx, j.pod)
	if len(unreadable) > 0 {
		a.recorder.Eventf(j.pod, v1.EventTypeWarning, "FailedToRetrieveImagePullSecret",
			"Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", joined(unreadable))
	}
	handler, err := a.runtimeHandler(ctx, j.pod)
	if err != nil {
		return image.Image{}, &failure{reason: reasonConfig, message: err.Error()}
	}
	return a.images.Ensure(ctx, image.Request{
		Image: name, Policy: policy, Handler: handler, Secrets: secrets, Sandbox: sandbox,
		Event: func(kind, reason, message string) { a.containerEvent(j.pod, container, kind, reason, message) },
	})
}

// containerConfig gathers everything a container is made of.
func (j *job) containerConfig(
	ctx context.Context, e pod.Entry, img image.Image, sandbox *runtimeapi.PodSandboxConfig,
) (*runtimeapi.ContainerConfig, error) {
	vars, err := j.environment(ctx, e)
	if err != nil {
		return nil, canceledOr(ctx, &failure{reason: reasonConfig, message: err.Error()})
	}
	mounts, err := j.mounts(ctx, e, vars, sandbox)
	if err != nil {
		var f *failure
		if errors.As(err, &f) || ctx.Err() != nil {
			return nil, err
		}
		return nil, &failure{reason: reasonConfig, message: err.Error()}
	}
	logs := filepath.Join(sandbox.LogDirectory, e.Name)
	if err := os.MkdirAll(logs, 0o755); err != nil { // log collectors read it
		return nil, &failure{
			reason:  reasonConfig,
			message: fmt.Sprintf("create container log directory for container %s failed: %v", e.Name, err),
		}
	}
	users := sandbox.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	for _, m := range mounts {
		// Files keep their owners as the pod's users see them.
		m.UidMappings, m.GidMappings = users.GetUids(), users.GetGids()
	}
	in := cri.ContainerInput{
		Users:    users,
		Restarts: j.op.Attempt, Command: env.ExpandAll(e.Command, vars), Args: env.ExpandAll(e.Args, vars), Mounts: mounts,
		ImageRef: img.Ref, ImageUID: img.UID, ImageUser: img.User,
		SeccompRoot: filepath.Join(j.agent.cfg.RootDir, "seccomp"), MemoryCapacity: j.agent.memoryCapacity(),
		Unified: j.agent.cgroups.Unified(),
	}
	for _, v := range vars {
		in.Env = append(in.Env, &runtimeapi.KeyValue{Key: v.Name, Value: []byte(v.Value)})
	}
	if e.Target != "" {
		if in.TargetID = j.targets[e.Target]; in.TargetID == "" {
			return nil, &failure{reason: reasonConfig, message: fmt.Sprintf("unable to find target container %s", e.Target)}
		}
	}
	config, err := cri.ContainerConfig(j.pod, e, in)
	if err != nil {
		return nil, &failure{reason: reasonConfig, message: err.Error()}
	}
	return config, nil
}

// environment reads what the container's environment refers to and works it out.
func (j *job) environment(ctx context.Context, e pod.Entry) ([]env.Var, error) {
	a := j.agent
	in := env.Input{
		Facts: j.worker.facts(j.pod, j.ips), Container: e.Container,
		ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}, File: j.envFile,
	}
	refs := env.References(e.Container)
	for name, optional := range refs.ConfigMaps {
		cm, err := a.source.ConfigMap(ctx, j.pod.Namespace, name)
		switch {
		case err == nil:
			in.ConfigMaps[name] = cm
		case !apierrors.IsNotFound(err) || !optional:
			return nil, err
		}
	}
	for name, optional := range refs.Secrets {
		secret, err := a.source.Secret(ctx, j.pod.Namespace, name)
		switch {
		case err == nil:
			in.Secrets[name] = secret
		case !apierrors.IsNotFound(err) || !optional:
			return nil, err
		}
	}
	var err error
	if in.Services, err = a.source.Services(ctx, j.pod.Namespace); err != nil {
		return nil, err
	}
	result, err := env.Resolve(in)
	if err != nil {
		return nil, err
	}
	if len(result.Skipped) > 0 {
		a.recorder.Eventf(j.pod, v1.EventTypeWarning, "InvalidEnvironmentVariableNames",
			"Keys [%s] from the EnvFrom source were skipped since they are considered invalid environment variable names.",
			joined(result.Skipped))
	}
	return result.Vars, nil
}

// mounts returns the container's mounts: its volumes, and the files that every container gets.
func (j *job) mounts(
	ctx context.Context, e pod.Entry, vars []env.Var, sandbox *runtimeapi.PodSandboxConfig,
) ([]*runtimeapi.Mount, error) {
	a := j.agent
	refs, err := j.volumeImages(ctx, e, sandbox)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, v := range vars {
		known[v.Name] = true
	}
	mounts, err := a.volumes.Mounts(j.pod, e.Container, volume.MountOptions{
		Expand: func(s string) (string, bool) {
			found := true
			env.Expand(s, func(name string) (string, bool) { found = found && known[name]; return "", true })
			return env.ExpandAll([]string{s}, vars)[0], found
		},
		RecursiveReadOnly: a.features().recursiveReadOnly,
		ImageRef:          func(name string) (string, bool) { ref, ok := refs[name]; return ref, ok },
	})
	if err != nil {
		return nil, err
	}
	dir := a.volumes.PodDir(j.pod.UID)
	taken := map[string]bool{}
	for _, m := range mounts {
		taken[m.ContainerPath] = true
	}
	if !taken["/etc/hosts"] && len(j.ips) > 0 {
		hosts := filepath.Join(dir, "etc-hosts")
		if err := writeFile(hosts, naming.HostsFile(j.pod, j.ips, a.naming()), 0o644); err != nil {
			return nil, err
		}
		sc := e.SecurityContext
		readonly := sc != nil && sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem
		mounts = append(mounts, &runtimeapi.Mount{ContainerPath: "/etc/hosts", HostPath: hosts, Readonly: readonly})
	}
	if path := e.TerminationMessagePath; path != "" && !taken[path] {
		file := filepath.Join(dir, "containers", e.Name, fmt.Sprintf("%08x", uint32(a.cfg.Rand()*(1<<32))))
		if err := writeFile(file, "", 0o666); err != nil {
			return nil, err
		}
		mounts = append(mounts, &runtimeapi.Mount{ContainerPath: path, HostPath: file})
	}
	return mounts, nil
}

// writeFile writes a file with exactly that mode, making its folder.
func writeFile(path, text string, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Chmod(path, perm)
}

// volumeImages brings the images of the container's image volumes.
func (j *job) volumeImages(ctx context.Context, e pod.Entry, sandbox *runtimeapi.PodSandboxConfig) (map[string]string, error) {
	refs := map[string]string{}
	for _, m := range e.VolumeMounts {
		for i := range j.pod.Spec.Volumes {
			v := &j.pod.Spec.Volumes[i]
			if v.Name != m.Name || v.Image == nil {
				continue
			}
			img, err := j.ensureImage(ctx, e.Name, v.Image.Reference, v.Image.PullPolicy, sandbox)
			if err != nil {
				return nil, err
			}
			refs[v.Name] = img.Ref
		}
	}
	return refs, nil
}

// postStart runs the hook. A container whose hook failed is stopped: it starts again by its restart policy.
func (j *job) postStart(ctx context.Context, e pod.Entry, id string) error {
	if e.Lifecycle == nil || e.Lifecycle.PostStart == nil {
		return nil
	}
	ip := ""
	if len(j.ips) > 0 {
		ip = j.ips[0]
	}
	hook := handler.Hook{Pod: j.pod, Container: e.Container, ContainerID: id, IP: ip, Handler: e.Lifecycle.PostStart}
	err := hook.Run(ctx, j.agent.execSync)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	j.agent.containerEvent(j.pod, e.Name, v1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
	j.worker.log.Warn("a postStart hook failed", "container", e.Name, "err", err)
	j.agent.containerEvent(j.pod, e.Name, v1.EventTypeNormal, "Killing", "FailedPostStartHook")
	_, stopErr := j.agent.runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: pod.Grace(j.pod)})
	if stopErr != nil {
		j.worker.log.Warn("stopping a container whose hook failed", "container", e.Name, "err", stopErr)
	}
	return &failure{reason: reasonHook, message: err.Error(), made: true}
}

// linkLog makes the name under which log collectors look for a container's log.
func (j *job) linkLog(container, id, logPath string) {
	link := j.agent.containerLogLink(j.pod, container, id)
	target := filepath.Join(cri.LogDirectory(j.agent.cfg.PodLogsDir, j.pod), logPath)
	if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
		j.worker.log.Warn("linking a log", "container", container, "err", err)
	}
}

// containerLogLink names the link to a container's log as upstream does.
func (a *Agent) containerLogLink(p *v1.Pod, container, id string) string {
	return filepath.Join(a.cfg.ContainerLogsDir, fmt.Sprintf("%s_%s_%s-%s.log", p.Name, p.Namespace, container, id))
}
