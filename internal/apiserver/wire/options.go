package wire

import (
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	listvalidation "k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// boolParam reads a flag as upstream does: present means yes, unless it says "false" or "0".
func boolParam(q url.Values, name string) bool {
	v, ok := q[name]
	if !ok || len(v) == 0 {
		return false
	}
	return !strings.EqualFold(v[0], "false") && v[0] != "0"
}

func boolPointer(q url.Values, name string) *bool {
	if _, ok := q[name]; !ok {
		return nil
	}
	b := boolParam(q, name)
	return &b
}

func int64Pointer(q url.Values, name string) (*int64, error) {
	text := q.Get(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return &n, nil
}

// listOptions reads and validates the options of list, watch and deletecollection. Selectors are left to the chain.
func listOptions(q url.Values, watching bool) (*internalversion.ListOptions, error) {
	opts := &internalversion.ListOptions{
		Watch:                watching,
		AllowWatchBookmarks:  boolParam(q, "allowWatchBookmarks"),
		ResourceVersion:      q.Get("resourceVersion"),
		ResourceVersionMatch: metav1.ResourceVersionMatch(q.Get("resourceVersionMatch")),
		Continue:             q.Get("continue"),
		SendInitialEvents:    boolPointer(q, "sendInitialEvents"),
	}
	limit, err := int64Pointer(q, "limit")
	if err != nil {
		return nil, err
	}
	if limit != nil {
		opts.Limit = *limit
	}
	if opts.TimeoutSeconds, err = int64Pointer(q, "timeoutSeconds"); err != nil {
		return nil, err
	}
	return opts, invalidOptions("ListOptions", listvalidation.ValidateListOptions(opts, true))
}

func invalidOptions(kind string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: kind}, "", errs)
}

// writeOptions are what creates, updates and patches have in common.
type writeOptions struct {
	DryRun          []string
	FieldManager    string
	FieldValidation string
	Force           *bool
}

func readWriteOptions(q url.Values) writeOptions {
	return writeOptions{
		DryRun: q["dryRun"], FieldManager: q.Get("fieldManager"), FieldValidation: q.Get("fieldValidation"),
		Force: boolPointer(q, "force"),
	}
}

func (o writeOptions) create() (*metav1.CreateOptions, error) {
	out := &metav1.CreateOptions{DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation}
	out.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("CreateOptions"))
	return out, invalidOptions("CreateOptions", validation.ValidateCreateOptions(out))
}

func (o writeOptions) update() (*metav1.UpdateOptions, error) {
	out := &metav1.UpdateOptions{DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation}
	out.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("UpdateOptions"))
	return out, invalidOptions("UpdateOptions", validation.ValidateUpdateOptions(out))
}

func (o writeOptions) patch(t types.PatchType) (*metav1.PatchOptions, error) {
	out := &metav1.PatchOptions{
		DryRun: o.DryRun, FieldManager: o.FieldManager, FieldValidation: o.FieldValidation, Force: o.Force,
	}
	out.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PatchOptions"))
	return out, invalidOptions("PatchOptions", validation.ValidatePatchOptions(out, t))
}

// validationLevel is the level a field validation option means; Warn when it is not given.
func validationLevel(option string) string {
	if option == "" {
		return metav1.FieldValidationWarn
	}
	return option
}

// deleteQuery reads the options of a delete that has no body.
func deleteQuery(q url.Values) (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{DryRun: q["dryRun"]}
	var err error
	if opts.GracePeriodSeconds, err = int64Pointer(q, "gracePeriodSeconds"); err != nil {
		return nil, err
	}
	opts.OrphanDependents = boolPointer(q, "orphanDependents") //nolint:staticcheck // old clients still send it
	if p := q.Get("propagationPolicy"); p != "" {
		policy := metav1.DeletionPropagation(p)
		opts.PropagationPolicy = &policy
	}
	return opts, nil
}

// managerOf is the field manager of a write: as named, else what the user agent begins with.
func managerOf(named, userAgent string) string {
	if named != "" {
		return named
	}
	agent, _, _ := strings.Cut(userAgent, "/")
	var b strings.Builder
	for _, r := range agent {
		if !strconv.IsPrint(r) {
			continue
		}
		if b.Len()+len(string(r)) > validation.FieldManagerMaxLength {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
