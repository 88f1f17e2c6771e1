package reviews

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/apiserver/authz"
	"coracle.dev/coracle/internal/apiserver/request"
)

// Access answers reviews of what someone may do.
type Access struct {
	authorizer authz.Authorizer
}

// NewAccess returns the handlers of the access reviews.
func NewAccess(authorizer authz.Authorizer) *Access { return &Access{authorizer: authorizer} }

// Subject answers a SubjectAccessReview.
func (r *Access) Subject(ctx context.Context, _ request.User, _, _ string, obj runtime.Object) (runtime.Object, error) {
	given, ok := obj.(*authorizationv1.SubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SubjectAccessReview: %T", obj))
	}
	review := given.DeepCopy()
	errs := append(validateSpec(&review.Spec), emptyMeta(review.ObjectMeta, false)...)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(kind("SubjectAccessReview"), "", errs)
	}
	review.Status = r.answer(ctx, subjectOf(&review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return review, nil
}

// LocalSubject answers a LocalSubjectAccessReview.
func (r *Access) LocalSubject(
	ctx context.Context, _ request.User, namespace, _ string, obj runtime.Object,
) (runtime.Object, error) {
	given, ok := obj.(*authorizationv1.LocalSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a LocalSubjectAccessReview: %T", obj))
	}
	review := given.DeepCopy()
	errs := append(validateSpec(&review.Spec), emptyMeta(review.ObjectMeta, true)...)
	spec := field.NewPath("spec")
	if a := review.Spec.ResourceAttributes; a != nil && a.Namespace != review.Namespace {
		errs = append(errs, field.Invalid(spec.Child("resourceAttributes", "namespace"), a.Namespace,
			"must match metadata.namespace"))
	}
	if a := review.Spec.NonResourceAttributes; a != nil {
		errs = append(errs, field.Invalid(spec.Child("nonResourceAttributes"), a, "disallowed on this kind of request"))
	}
	switch {
	case len(errs) > 0:
		return nil, apierrors.NewInvalid(kind("LocalSubjectAccessReview"), "", errs)
	case namespace == "":
		return nil, apierrors.NewBadRequest("namespace is required on this type: ")
	case namespace != review.Namespace:
		return nil, apierrors.NewBadRequest("spec.resourceAttributes.namespace must match namespace: " + namespace)
	}
	review.Status = r.answer(ctx, subjectOf(&review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return review, nil
}

// SelfSubject answers a SelfSubjectAccessReview, which anyone may ask about themselves.
func (r *Access) SelfSubject(ctx context.Context, user request.User, _, _ string, obj runtime.Object) (runtime.Object, error) {
	given, ok := obj.(*authorizationv1.SelfSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectAccessReview: %T", obj))
	}
	review := given.DeepCopy()
	errs := validateAttributes(review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	errs = append(errs, emptyMeta(review.ObjectMeta, false)...)
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(kind("SelfSubjectAccessReview"), "", errs)
	}
	review.Status = r.answer(ctx, user, review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return review, nil
}

func kind(name string) schema.GroupKind {
	return schema.GroupKind{Group: authorizationv1.GroupName, Kind: name}
}

// answer asks the authorizer. A selector that cannot be read counts as none, which asks for more, and is told.
func (r *Access) answer(
	ctx context.Context, user request.User, res *authorizationv1.ResourceAttributes, non *authorizationv1.NonResourceAttributes,
) authorizationv1.SubjectAccessReviewStatus {
	attributes := &request.Attributes{User: user}
	var unread error
	if res != nil {
		attributes.IsResource = true
		attributes.Verb, attributes.Group, attributes.Version = res.Verb, res.Group, res.Version
		attributes.Resource, attributes.Subresource = res.Resource, res.Subresource
		attributes.Namespace, attributes.Name = res.Namespace, res.Name
		attributes.FieldSelector, unread = fieldSelector(res.FieldSelector)
		var err error
		attributes.LabelSelector, err = labelSelector(res.LabelSelector)
		unread = errors.Join(unread, err)
	} else {
		attributes.Verb, attributes.Path = non.Verb, non.Path
	}
	decision, reason, err := r.authorizer.Authorize(ctx, attributes)
	status := authorizationv1.SubjectAccessReviewStatus{
		Allowed: decision == authz.Allow, Denied: decision == authz.Deny, Reason: reason,
	}
	if err = errors.Join(err, unread); err != nil {
		status.EvaluationError = err.Error()
	}
	return status
}

func subjectOf(spec *authorizationv1.SubjectAccessReviewSpec) request.User {
	user := request.User{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
	for key, values := range spec.Extra {
		if user.Extra == nil {
			user.Extra = map[string][]string{}
		}
		user.Extra[key] = values
	}
	return user
}

// fieldSelector writes requirements in the text form that a list call has.
func fieldSelector(in *authorizationv1.FieldSelectorAttributes) (string, error) {
	if in == nil {
		return "", nil
	}
	if in.RawSelector != "" {
		_, err := fields.ParseSelector(in.RawSelector)
		if err != nil {
			return "", err
		}
		return in.RawSelector, nil
	}
	var terms []fields.Selector
	var failed error
	for _, r := range in.Requirements {
		switch {
		case r.Operator == metav1.FieldSelectorOpIn && len(r.Values) == 1:
			terms = append(terms, fields.OneTermEqualSelector(r.Key, r.Values[0]))
		case r.Operator == metav1.FieldSelectorOpNotIn && len(r.Values) == 1:
			terms = append(terms, fields.OneTermNotEqualSelector(r.Key, r.Values[0]))
		case len(r.Values) > 1:
			failed = errors.Join(failed, errors.New("fieldSelectors do not yet support multiple values"))
		default:
			failed = errors.Join(failed,
				fmt.Errorf("fieldSelectors do not yet support %v with %d values", r.Operator, len(r.Values)))
		}
	}
	if len(terms) == 0 {
		return "", failed
	}
	return fields.AndSelectors(terms...).String(), failed
}

func labelSelector(in *authorizationv1.LabelSelectorAttributes) (string, error) {
	if in == nil {
		return "", nil
	}
	if in.RawSelector != "" {
		if _, err := labels.Parse(in.RawSelector); err != nil {
			return "", err
		}
		return in.RawSelector, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: in.Requirements})
	if err != nil {
		return "", err
	}
	return selector.String(), nil
}

func validateSpec(spec *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateAttributes(spec.ResourceAttributes, spec.NonResourceAttributes)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), spec.User,
			"at least one of user or group must be specified"))
	}
	return errs
}

func validateAttributes(
	res *authorizationv1.ResourceAttributes, non *authorizationv1.NonResourceAttributes,
) field.ErrorList {
	var errs field.ErrorList
	spec := field.NewPath("spec")
	if (res == nil) == (non == nil) {
		errs = append(errs, field.Invalid(spec, non,
			"exactly one of nonResourceAttributes or resourceAttributes must be specified"))
	}
	if res == nil {
		return errs
	}
	if s := res.FieldSelector; s != nil {
		path := spec.Child("resourceAttributes", "fieldSelector")
		errs = append(errs, validateSelector(path, s.RawSelector, len(s.Requirements))...)
	}
	if s := res.LabelSelector; s != nil {
		path := spec.Child("resourceAttributes", "labelSelector")
		errs = append(errs, validateSelector(path, s.RawSelector, len(s.Requirements))...)
	}
	return errs
}

func validateSelector(path *field.Path, raw string, requirements int) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw,
			"may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"),
			fmt.Sprintf("when %s is specified, requirements or rawSelector is required", path))}
	}
	return nil
}

// emptyMeta refuses metadata on a kind that is never stored.
func emptyMeta(meta metav1.ObjectMeta, namespaced bool) field.ErrorList {
	bare := meta
	bare.ManagedFields = nil
	// The server itself stamps these on every create.
	bare.CreationTimestamp, bare.UID = metav1.Time{}, ""
	detail := "must be empty"
	if namespaced {
		bare.Namespace = ""
		detail = "must be empty except for namespace"
	}
	if equality.Semantic.DeepEqual(bare, metav1.ObjectMeta{}) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), meta, detail)}
}
