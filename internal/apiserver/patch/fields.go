package patch

import (
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/convert"
)

// Target is the kind, version and subresource a write goes to.
type Target struct {
	Resource    *api.Resource
	Version     *api.Version
	Subresource string
	// Stored is the resource whose Go type is stored.
	Stored *api.Resource
}

// hub is the group and version of the stored type.
func (t Target) hub() schema.GroupVersion { return t.Stored.StoredGVK().GroupVersion() }

// Fields keeps metadata.managedFields. Safe for concurrent use.
type Fields struct {
	types managedfields.TypeConverter

	mu       sync.Mutex
	managers map[targetKey]*managedfields.FieldManager
}

type targetKey struct {
	resource    *api.Resource
	version     string
	subresource string
}

// NewFields makes a Fields for the types of the scheme. The schemas of the built-in types are read on first use.
func NewFields(scheme *runtime.Scheme) *Fields {
	return &Fields{
		types:    &lazyTypes{scheme: scheme},
		managers: map[targetKey]*managedfields.FieldManager{},
	}
}

// Update records in obj's managedFields what manager changed from live, an empty object on create. Obj is changed. Problems
// leave live's entries in place, as upstream does: a write never fails for its bookkeeping.
func (f *Fields) Update(t Target, live, obj api.Object, manager string) api.Object {
	fm, err := f.manager(t)
	if err != nil {
		return obj
	}
	out, ok := fm.UpdateNoErrors(live, obj, manager).(api.Object)
	if !ok {
		return obj
	}
	return out
}

// Empty returns the object that a create starts from.
func (t Target) Empty() api.Object {
	obj := t.Stored.NewStored()
	if obj == nil {
		return nil
	}
	obj.GetObjectKind().SetGroupVersionKind(t.Stored.StoredGVK())
	return obj
}

// Apply merges an applied configuration into live (an empty object when it does not exist) and returns a new stored object.
// Conflicts are a 409 Status error with a cause for each field.
func (f *Fields) Apply(t Target, live api.Object, config map[string]any, manager string, force bool) (api.Object, error) {
	fm, err := f.manager(t)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	out, err := fm.Apply(live, &unstructured.Unstructured{Object: config}, manager, force)
	if err != nil {
		return nil, err
	}
	obj, ok := out.(api.Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("apply made a %T", out))
	}
	return obj, nil
}

// ParseConfig reads the body of an apply, YAML or JSON. The second result lists duplicate keys.
func ParseConfig(data []byte) (map[string]any, []error, error) {
	config := map[string]any{}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	var strict []error
	if err := yaml.UnmarshalStrict(data, &map[string]any{}); err != nil {
		strict = append(strict, err)
	}
	return config, strict, nil
}

func (f *Fields) manager(t Target) (*managedfields.FieldManager, error) {
	key := targetKey{t.Resource, t.Version.Name, t.Subresource}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fm, ok := f.managers[key]; ok {
		return fm, nil
	}
	conv := converter{t}
	gvk := t.Resource.GVK(t.Version.Name)
	make := managedfields.NewDefaultFieldManager
	types := f.types
	if isUnstructured(t) {
		make = managedfields.NewDefaultCRDFieldManager
		types = managedfields.NewDeducedTypeConverter()
	}
	fm, err := make(types, conv, conv, conv, gvk, t.hub(), t.Subresource, resetFields(t))
	if err != nil {
		return nil, fmt.Errorf("making a field manager for %s: %w", gvk, err)
	}
	f.managers[key] = fm
	return fm, nil
}

func isUnstructured(t Target) bool {
	_, ok := t.Version.New().(*unstructured.Unstructured)
	return ok
}

// resetFields are the fields a write there can't change and so never owns.
func resetFields(t Target) map[fieldpath.APIVersion]fieldpath.Filter {
	paths := t.Resource.Strategy.ResetFields
	if t.Subresource != "" {
		paths = nil
		if sub, ok := t.Resource.Subresource(t.Subresource); ok {
			paths = sub.ResetFields
		}
	}
	if len(paths) == 0 {
		return nil
	}
	set := fieldpath.NewSet()
	for _, p := range paths {
		var elements []any
		for part := range strings.SplitSeq(p, ".") {
			elements = append(elements, part)
		}
		if path, err := fieldpath.MakePath(elements...); err == nil {
			set.Insert(path)
		}
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{}
	for _, v := range t.Resource.Versions {
		gv := schema.GroupVersion{Group: t.Resource.Group, Version: v.Name}
		filters[fieldpath.APIVersion(gv.String())] = fieldpath.NewExcludeSetFilter(set)
	}
	return filters
}

// lazyTypes reads the schemas of the built-in types on first use, and deduces a type for what they don't know.
type lazyTypes struct {
	scheme *runtime.Scheme
	once   sync.Once
	known  managedfields.TypeConverter
}

func (l *lazyTypes) load() managedfields.TypeConverter {
	l.once.Do(func() { l.known = applyconfigurations.NewTypeConverter(l.scheme) })
	return l.known
}

// ObjectToTyped implements managedfields.TypeConverter.
func (l *lazyTypes) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if schemaKnows(obj.GetObjectKind().GroupVersionKind().Group) {
		return l.load().ObjectToTyped(obj, opts...)
	}
	return managedfields.NewDeducedTypeConverter().ObjectToTyped(obj, opts...)
}

// TypedToObject implements managedfields.TypeConverter.
func (l *lazyTypes) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	return managedfields.NewDeducedTypeConverter().TypedToObject(value)
}

// schemaKnows tells whether client-go's schemas hold the group: all built-in ones but the two that extend the API itself.
func schemaKnows(group string) bool {
	return group != "apiextensions.k8s.io" && group != "apiregistration.k8s.io"
}

// converter gives the field manager the conversions of one resource.
type converter struct{ t Target }

// New implements runtime.ObjectCreater.
func (c converter) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	v, ok := c.t.Resource.Version(kind.Version)
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("catalogue", kind)
	}
	obj := v.New()
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return obj, nil
}

// Default implements runtime.ObjectDefaulter. Defaults are set on the stored type, after the merge.
func (converter) Default(runtime.Object) {}

// Convert implements runtime.ObjectConvertor.
func (c converter) Convert(in, out, _ any) error {
	return fmt.Errorf("converting %T into %T is not supported", in, out)
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (converter) ConvertFieldLabel(schema.GroupVersionKind, string, string) (string, string, error) {
	return "", "", fmt.Errorf("field labels are not converted here")
}

// ConvertToVersion implements runtime.ObjectConvertor among the served versions and the stored one.
func (c converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gv, ok := target.(schema.GroupVersion)
	if !ok {
		return nil, fmt.Errorf("converting to %T is not supported", target)
	}
	from := in.GetObjectKind().GroupVersionKind()
	if u, ok := in.(*unstructured.Unstructured); ok && !isUnstructured(c.t) {
		typedObj, err := c.fromUnstructured(u, from)
		if err != nil {
			return nil, err
		}
		in = typedObj
	}
	if from.GroupVersion() == gv && !from.Empty() {
		return in, nil
	}
	res := c.t.Resource
	stored, err := c.toHub(in, from)
	if err != nil {
		return nil, err
	}
	if gv == c.t.hub() {
		return convert.WithKind(stored, gv.WithKind(res.Kind)), nil
	}
	v, ok := res.Version(gv.Version)
	if !ok || gv.Group != res.Group {
		return nil, runtime.NewNotRegisteredErrForKind("catalogue", gv.WithKind(res.Kind))
	}
	return convert.FromStored(res, v, stored)
}

func (c converter) toHub(in runtime.Object, from schema.GroupVersionKind) (api.Object, error) {
	if from.Empty() || from.GroupVersion() == c.t.hub() {
		if obj, ok := in.(api.Object); ok {
			return obj, nil
		}
		return nil, fmt.Errorf("%T has no object metadata", in)
	}
	v, ok := c.t.Resource.Version(from.Version)
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("catalogue", from)
	}
	return convert.ToStored(c.t.Resource, v, in)
}

func (c converter) fromUnstructured(u *unstructured.Unstructured, gvk schema.GroupVersionKind) (runtime.Object, error) {
	var obj runtime.Object
	if v, ok := c.t.Resource.Version(gvk.Version); ok && gvk.Group == c.t.Resource.Group {
		obj = v.New()
	} else if gvk.GroupVersion() == c.t.hub() {
		obj = c.t.Stored.NewStored()
	} else {
		return nil, runtime.NewNotRegisteredErrForKind("catalogue", gvk)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}
