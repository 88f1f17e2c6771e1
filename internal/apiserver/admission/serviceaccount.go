package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"

	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/podref"
	"coracle.dev/coracle/internal/client"
)

const (
	defaultServiceAccount = "default"
	tokenVolumePrefix     = "kube-api-access-"
	tokenMountPath        = "/var/run/secrets/kubernetes.io/serviceaccount"
	enforceMountable      = "kubernetes.io/enforce-mountable-secrets"
	// tokenSeconds is the life of a pod's token: an hour and the seven seconds by which upstream tells such tokens apart.
	tokenSeconds = 60*60 + 7
	// defaultAccountWait is how long the creation of a pod waits for the account "default" of a new namespace.
	defaultAccountWait = 2 * time.Second
)

// ServiceAccount gives pods their service account: the account must exist, its token, authority and namespace are mounted into
// every container, and its pull secrets become the pod's.
type ServiceAccount struct {
	objects *lookup.Reader
	suffix  func() string
}

// NewServiceAccount returns the plugin. suffix makes the random end of the token volume's name.
func NewServiceAccount(objects *lookup.Reader, suffix func() string) *ServiceAccount {
	return &ServiceAccount{objects: objects, suffix: suffix}
}

// Name implements Plugin.
func (*ServiceAccount) Name() string { return "ServiceAccount" }

// Admit implements Plugin.
func (p *ServiceAccount) Admit(ctx context.Context, op *Operation) error {
	pod, ok := op.Object.(*corev1.Pod)
	if !ok || op.Verb != opCreate || !op.on("", "pods") || podref.IsMirror(pod) {
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultServiceAccount
		pod.Spec.DeprecatedServiceAccount = defaultServiceAccount
	}
	account, err := p.account(ctx, op, pod)
	if err != nil {
		return err
	}
	if automount(account, pod) {
		p.mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = slices.Clone(account.ImagePullSecrets)
	}
	return nil
}

// Validate implements Plugin.
func (p *ServiceAccount) Validate(ctx context.Context, op *Operation) error {
	pod, ok := op.Object.(*corev1.Pod)
	if !ok || op.Group != "" || op.Resource != "pods" {
		return nil
	}
	create := op.Verb == opCreate && op.Subresource == ""
	ephemeral := op.Verb == opUpdate && op.Subresource == "ephemeralcontainers"
	switch {
	case !create && !ephemeral:
		return nil
	case create && podref.IsMirror(pod):
		return validateMirror(op, pod)
	case pod.Spec.ServiceAccountName == "":
		return op.forbid("no service account specified for pod %s/%s", op.Namespace, pod.Name)
	}
	account, err := p.account(ctx, op, pod)
	if err != nil {
		return err
	}
	if only, _ := strconv.ParseBool(account.Annotations[enforceMountable]); !only {
		return nil
	}
	if err := limitSecrets(account, pod, ephemeral); err != nil {
		return op.forbid("%w", err)
	}
	return nil
}

// account reads the pod's account. That of a namespace just made may still be on its way.
func (p *ServiceAccount) account(ctx context.Context, op *Operation, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	gr, name := resource("", "serviceaccounts"), pod.Spec.ServiceAccountName
	read := p.objects.Get
	if name == defaultServiceAccount {
		limited, cancel := context.WithTimeout(ctx, defaultAccountWait)
		defer cancel()
		ctx, read = limited, p.objects.Await
	}
	obj, err := read(ctx, gr, op.Namespace, name)
	if apierrors.IsNotFound(err) {
		err = apierrors.NewNotFound(resource("", "serviceaccount"), name)
	}
	if err != nil {
		return nil, op.forbid("error looking up service account %s/%s: %w", op.Namespace, name, err)
	}
	account, ok := obj.(*corev1.ServiceAccount)
	if !ok {
		return nil, &client.TypeError{Resource: gr, Got: obj}
	}
	return account, nil
}

func automount(account *corev1.ServiceAccount, pod *corev1.Pod) bool {
	if wish := pod.Spec.AutomountServiceAccountToken; wish != nil {
		return *wish
	}
	return ptr.Deref(account.AutomountServiceAccountToken, true)
}

// mountToken mounts the token volume into every container that has nothing at its path yet.
func (p *ServiceAccount) mountToken(pod *corev1.Pod) {
	name, exists := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, tokenVolumePrefix) {
			name, exists = v.Name, true
			break
		}
	}
	if !exists {
		name = tokenVolumePrefix + p.suffix()
	}
	mounted := false
	mount := func(containers []corev1.Container) {
		for i := range containers {
			c := &containers[i]
			if slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == tokenMountPath }) {
				continue
			}
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenMountPath})
			mounted = true
		}
	}
	mount(pod.Spec.InitContainers)
	mount(pod.Spec.Containers)
	if mounted && !exists {
		pod.Spec.Volumes = append(pod.Spec.Volumes, tokenVolume(name))
	}
}

// tokenVolume is what a pod needs to talk to the API: its token, the authority of the API's certificate, its namespace.
func tokenVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To(corev1.ProjectedVolumeSourceDefaultMode),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Path: "token", ExpirationSeconds: ptr.To[int64](tokenSeconds),
			}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"},
			}}}},
		},
	}}}
}

// validateMirror keeps a node from reaching secrets by a pod it made itself.
func validateMirror(op *Operation, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return op.forbid("a mirror pod may not reference service accounts")
	}
	if len(podref.Secrets(pod)) > 0 {
		return op.forbid("a mirror pod may not reference secrets")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil {
				return op.forbid("a mirror pod may not use ServiceAccountToken volume projections")
			}
		}
	}
	return nil
}

// limitSecrets holds a pod to the secrets that its account lists.
func limitSecrets(account *corev1.ServiceAccount, pod *corev1.Pod, ephemeralOnly bool) error {
	listed := func(name string) bool {
		return slices.ContainsFunc(account.Secrets, func(r corev1.ObjectReference) bool { return r.Name == name })
	}
	if ephemeralOnly {
		for i := range pod.Spec.EphemeralContainers {
			c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
			if err := limitContainer("ephemeral container", &c, account.Name, listed); err != nil {
				return err
			}
		}
		return nil
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && !listed(v.Secret.SecretName) {
			return fmt.Errorf("volume with secret.secretName=%q is not allowed because service account %s "+
				"does not reference that secret", v.Secret.SecretName, account.Name)
		}
	}
	var failed error
	for i := range pod.Spec.InitContainers {
		failed = errors.Join(failed, limitContainer("init container", &pod.Spec.InitContainers[i], account.Name, listed))
	}
	for i := range pod.Spec.Containers {
		failed = errors.Join(failed, limitContainer("container", &pod.Spec.Containers[i], account.Name, listed))
	}
	for i, ref := range pod.Spec.ImagePullSecrets {
		if !slices.Contains(account.ImagePullSecrets, ref) {
			failed = errors.Join(failed, fmt.Errorf("imagePullSecrets[%d].name=%q is not allowed because service account %s "+
				"does not reference that imagePullSecret", i, ref.Name, account.Name))
		}
	}
	return failed
}

func limitContainer(what string, c *corev1.Container, account string, listed func(string) bool) error {
	for _, env := range c.Env {
		if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil && !listed(env.ValueFrom.SecretKeyRef.Name) {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=%q is not allowed because service account %s "+
				"does not reference that secret", what, c.Name, env.Name, env.ValueFrom.SecretKeyRef.Name, account)
		}
	}
	for _, from := range c.EnvFrom {
		if from.SecretRef != nil && !listed(from.SecretRef.Name) {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=%q is not allowed because service account %s "+
				"does not reference that secret", what, c.Name, from.SecretRef.Name, account)
		}
	}
	return nil
}
