package token

import (
	"context"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
)

// core names a resource of the core group.
func requestKind() schema.GroupKind {
	return schema.GroupKind{Group: authenticationv1.GroupName, Kind: "TokenRequest"}
}

const (
	// defaultExpirationSeconds is what a request without a duration gets.
	defaultExpirationSeconds = 60 * 60
	minExpirationSeconds     = 10 * 60
	maxExpirationSeconds     = 1 << 32
)

// Requests answers creates of serviceaccounts/token.
type Requests struct {
	issuer  *Issuer
	objects *lookup.Reader
}

// NewRequests returns the handler of serviceaccounts/token.
func NewRequests(issuer *Issuer, objects *lookup.Reader) *Requests {
	return &Requests{issuer: issuer, objects: objects}
}

// Create answers one TokenRequest for the service account named by namespace and name. obj is not changed.
func (r *Requests) Create(
	ctx context.Context, _ request.User, namespace, name string, obj runtime.Object,
) (runtime.Object, error) {
	given, ok := obj.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", obj))
	}
	if namespace == "" {
		return nil, apierrors.NewBadRequest("namespace is required")
	}
	req := given.DeepCopy()
	if err := matchURL(req, namespace, name); err != nil {
		return nil, err
	}
	sa, err := lookup.Get[*corev1.ServiceAccount](ctx, r.objects, kinds.ServiceAccounts(), namespace, name)
	if err != nil {
		return nil, err
	}
	if req.UID != "" && req.UID != sa.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: requestKind().Group, Resource: requestKind().Kind}, name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", req.UID, sa.UID))
	}
	r.complete(req, sa)
	if errs := ValidateTokenRequest(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(requestKind(), "", errs)
	}
	bound := Bound{Namespace: namespace, ServiceAccount: Reference{Name: sa.Name, UID: string(sa.UID)}}
	if ref := req.Spec.BoundObjectRef; ref != nil {
		if err := r.bind(ctx, &bound, ref); err != nil {
			return nil, err
		}
	}
	return r.issue(req, sa, bound)
}

func matchURL(req *authenticationv1.TokenRequest, namespace, name string) error {
	meta := field.NewPath("metadata")
	var errs field.ErrorList
	switch {
	case req.Name != "" && req.Name != name:
		errs = append(errs, field.Invalid(meta.Child("name"), req.Name, "must match the service account name if specified"))
	case req.Namespace != "" && req.Namespace != namespace:
		errs = append(errs, field.Invalid(meta.Child("namespace"), req.Namespace,
			"must match the service account namespace if specified"))
	default:
		return nil
	}
	return apierrors.NewInvalid(requestKind(), name, errs)
}

// complete fills in what the caller may leave out.
func (r *Requests) complete(req *authenticationv1.TokenRequest, sa *corev1.ServiceAccount) {
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = append([]string(nil), r.issuer.cfg.Audiences...)
	}
	if req.Spec.ExpirationSeconds == nil {
		seconds := int64(defaultExpirationSeconds)
		req.Spec.ExpirationSeconds = &seconds
	}
	req.Name, req.Namespace, req.UID = sa.Name, sa.Namespace, sa.UID
	req.CreationTimestamp = metav1.NewTime(r.issuer.cfg.Now())
	req.Status = authenticationv1.TokenRequestStatus{}
}

// ValidateTokenRequest judges a completed request.
func ValidateTokenRequest(req *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "expirationSeconds")
	var seconds int64
	if s := req.Spec.ExpirationSeconds; s != nil {
		seconds = *s
	}
	if seconds < minExpirationSeconds {
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration less than 10 minutes"))
	}
	if seconds > maxExpirationSeconds {
		errs = append(errs, field.Invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

// bind looks up the object that the token shall end with.
func (r *Requests) bind(ctx context.Context, b *Bound, ref *authenticationv1.BoundObjectReference) error {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	if gvk.Group != "" {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	var uid types.UID
	switch gvk.Kind {
	case "Pod":
		pod, err := lookup.Get[*corev1.Pod](ctx, r.objects, kinds.Pods(), b.Namespace, ref.Name)
		if err != nil {
			return err
		}
		if pod.Spec.ServiceAccountName != b.ServiceAccount.Name {
			return apierrors.NewBadRequest(fmt.Sprintf(
				"cannot bind token for serviceaccount %q to pod running with different serviceaccount name.",
				b.ServiceAccount.Name))
		}
		uid = pod.UID
		b.Pod = &Reference{Name: pod.Name, UID: string(uid)}
		if b.Node, err = r.nodeOf(ctx, pod); err != nil {
			return err
		}
	case "Node":
		node, err := lookup.Get[*corev1.Node](ctx, r.objects, kinds.Nodes(), "", ref.Name)
		if err != nil {
			return err
		}
		uid = node.UID
		b.Node = &Reference{Name: node.Name, UID: string(uid)}
	case "Secret":
		secret, err := lookup.Get[*corev1.Secret](ctx, r.objects, kinds.Secrets(), b.Namespace, ref.Name)
		if err != nil {
			return err
		}
		uid = secret.UID
		b.Secret = &Reference{Name: secret.Name, UID: string(uid)}
	default:
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	if ref.UID != "" && uid != ref.UID {
		return apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, ref.Name, fmt.Errorf(
			"the UID in the bound object reference (%s) does not match the UID in record. "+
				"The object might have been deleted and then recreated", ref.UID))
	}
	return nil
}

// nodeOf names the node of an assigned pod; without a UID when the node is not there.
func (r *Requests) nodeOf(ctx context.Context, pod *corev1.Pod) (*Reference, error) {
	if pod.Spec.NodeName == "" {
		return nil, nil // an unassigned pod has no node, and a token for it is fine
	}
	node, err := lookup.Get[*corev1.Node](ctx, r.objects, kinds.Nodes(), "", pod.Spec.NodeName)
	switch {
	case apierrors.IsNotFound(err):
		return &Reference{Name: pod.Spec.NodeName}, nil
	case err != nil:
		return nil, apierrors.NewInternalError(err)
	}
	return &Reference{Name: node.Name, UID: string(node.UID)}, nil
}

func (r *Requests) issue(
	req *authenticationv1.TokenRequest, sa *corev1.ServiceAccount, bound Bound,
) (*authenticationv1.TokenRequest, error) {
	if limit := int64(r.issuer.cfg.MaxExpiration / time.Second); limit > 0 && *req.Spec.ExpirationSeconds > limit {
		*req.Spec.ExpirationSeconds = limit
	}
	now := req.CreationTimestamp.Time
	expiry := expiryOf(now, *req.Spec.ExpirationSeconds)
	signed, err := r.issuer.Sign(Claims{
		Claims: jwt.Claims{
			Subject:   MakeUsername(sa.Namespace, sa.Name),
			Audience:  req.Spec.Audiences,
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			Expiry:    jwt.NewNumericDate(expiry),
		},
		Kubernetes: bound,
	})
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("failed to generate token: %w", err))
	}
	req.Status = authenticationv1.TokenRequestStatus{Token: signed, ExpirationTimestamp: metav1.NewTime(expiry)}
	return req, nil
}
