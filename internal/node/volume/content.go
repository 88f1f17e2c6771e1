package volume

import (
	"context"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"coracle.dev/coracle/internal/node/downward"
)

// Source reads what volumes are made of. API errors come as they are.
type Source interface {
	ConfigMap(ctx context.Context, namespace, name string) (*v1.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*v1.Secret, error)
	// Token returns a fresh token of the pod's service account.
	Token(ctx context.Context, p *v1.Pod, audience string, seconds int64) (Token, error)
	// TrustBundle returns the PEM certificates of a projection's bundles, duplicates removed.
	TrustBundle(ctx context.Context, src *v1.ClusterTrustBundleProjection) ([]byte, error)
}

// builder collects the files of one volume.
type builder struct {
	src    Source
	tokens *tokens
	pod    *v1.Pod
	facts  downward.Facts
	files  map[string]file
	mode   os.FileMode
}

func mode(m *int32, otherwise os.FileMode) os.FileMode {
	if m == nil {
		return otherwise
	}
	return os.FileMode(*m) & os.ModePerm
}

func (b *builder) configMap(ctx context.Context, name string, items []v1.KeyToPath, optional *bool) error {
	cm, err := b.src.ConfigMap(ctx, b.pod.Namespace, name)
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil
	}
	if err != nil {
		return err
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return b.add(data, items, isTrue(optional), "configmap")
}

func (b *builder) secret(ctx context.Context, name string, items []v1.KeyToPath, optional *bool) error {
	s, err := b.src.Secret(ctx, b.pod.Namespace, name)
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.add(s.Data, items, isTrue(optional), "secret")
}

// add puts all keys in, or those that items choose.
func (b *builder) add(data map[string][]byte, items []v1.KeyToPath, optional bool, kind string) error {
	if len(items) == 0 {
		for k, v := range data {
			b.files[k] = file{data: v, mode: b.mode}
		}
		return nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		switch {
		case ok:
			b.files[item.Path] = file{data: v, mode: mode(item.Mode, b.mode)}
		case !optional:
			return fmt.Errorf("%s references non-existent %s key: %s", "volume", kind, item.Key)
		}
	}
	return nil
}

func (b *builder) downward(items []v1.DownwardAPIVolumeFile) error {
	for i := range items {
		item := &items[i]
		var text string
		var err error
		switch {
		case item.FieldRef != nil:
			text, err = b.facts.Field(item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			text, err = b.facts.Resource(item.ResourceFieldRef, "")
		default:
			err = fmt.Errorf("%s has neither a field nor a resource", item.Path)
		}
		if err != nil {
			return err
		}
		b.files[item.Path] = file{data: []byte(text), mode: mode(item.Mode, b.mode)}
	}
	return nil
}

func (b *builder) projected(ctx context.Context, p *v1.ProjectedVolumeSource) error {
	for i := range p.Sources {
		if err := b.project(ctx, &p.Sources[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) project(ctx context.Context, s *v1.VolumeProjection) error {
	switch {
	case s.ConfigMap != nil:
		return b.configMap(ctx, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
	case s.Secret != nil:
		return b.secret(ctx, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
	case s.DownwardAPI != nil:
		return b.downward(s.DownwardAPI.Items)
	case s.ServiceAccountToken != nil:
		return b.token(ctx, s.ServiceAccountToken)
	case s.ClusterTrustBundle != nil:
		pem, err := b.src.TrustBundle(ctx, s.ClusterTrustBundle)
		if apierrors.IsNotFound(err) && isTrue(s.ClusterTrustBundle.Optional) {
			err = nil
		}
		if err != nil {
			return err
		}
		b.files[s.ClusterTrustBundle.Path] = file{data: pem, mode: b.mode}
		return nil
	}
	return fmt.Errorf("a projected source is of a kind that this node does not know")
}

// token projects a service account token. Only its user may read it where that is known.
func (b *builder) token(ctx context.Context, p *v1.ServiceAccountTokenProjection) error {
	seconds := int64(3600)
	if p.ExpirationSeconds != nil {
		seconds = *p.ExpirationSeconds
	}
	text, err := b.tokens.get(ctx, b.pod, p.Audience, seconds)
	if err != nil {
		return fmt.Errorf("failed to fetch token: %w", err)
	}
	f := file{data: []byte(text), mode: b.mode, uid: onlyUser(b.pod)}
	if f.uid != nil || fsGroup(b.pod) != nil {
		f.mode = 0o600
	}
	b.files[p.Path] = f
	return nil
}

// onlyUser returns the user that all containers of the pod run as, or nil when they differ or don't say.
func onlyUser(p *v1.Pod) *int64 {
	var only *int64
	var def *int64
	if sc := p.Spec.SecurityContext; sc != nil {
		def = sc.RunAsUser
	}
	contexts := make([]*v1.SecurityContext, 0, len(p.Spec.Containers))
	for _, list := range [][]v1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			contexts = append(contexts, list[i].SecurityContext)
		}
	}
	for i := range p.Spec.EphemeralContainers {
		contexts = append(contexts, p.Spec.EphemeralContainers[i].SecurityContext)
	}
	for _, sc := range contexts {
		user := def
		if sc != nil && sc.RunAsUser != nil {
			user = sc.RunAsUser
		}
		if user == nil || (only != nil && *only != *user) {
			return nil
		}
		only = user
	}
	return only
}

func fsGroup(p *v1.Pod) *int64 {
	if p.Spec.SecurityContext == nil {
		return nil
	}
	return p.Spec.SecurityContext.FSGroup
}

func isTrue(b *bool) bool { return b != nil && *b }
