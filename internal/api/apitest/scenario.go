package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
)

// Names of what a case does, besides those of subresources.
const (
	Create = "create"
	Update = "update"
	Status = "status"
)

// maxLine is how much of an error a file shows, in bytes: some repeat the whole object.
const maxLine = 400

// Case is one write.
type Case struct {
	// Does is Create, Update, Status or the name of a subresource.
	Does string
	Name string
	// Base and Patch are the manifest and the change to it, as JSON values.
	Base  map[string]any
	Patch map[string]any
}

func newCase(title string, base map[string]any, patch []byte) (Case, error) {
	does, name, ok := strings.Cut(title, ": ")
	if !ok {
		return Case{}, fmt.Errorf("section %q: not of the form \"create: what is tried\"", title)
	}
	c := Case{Does: does, Name: name, Base: base}
	if base == nil {
		return c, fmt.Errorf("section %q: no base before it", title)
	}
	if err := yaml.UnmarshalStrict(patch, &c.Patch); err != nil {
		return c, fmt.Errorf("section %q: %w", title, err)
	}
	return c, nil
}

// Write are the objects of a write: what is written and, but for a create, what is stored. Both are as they come to the server's
// validation.
type Write struct {
	Resource *api.Resource
	Obj      api.Object
	Old      api.Object
}

// Write makes the objects.
func (c *Case) Write(r *api.Resource) (Write, error) {
	w := Write{Resource: r}
	var err error
	if c.Does == Create {
		if w.Obj, err = decode(r, merge(c.Base, c.Patch)); err != nil {
			return w, err
		}
		onCreate(r, w.Obj)
		return w, nil
	}
	if w.Old, err = stored(r, c.Base); err != nil {
		return w, fmt.Errorf("the base: %w", err)
	}
	whole, err := encode(w.Old)
	if err != nil {
		return w, err
	}
	if w.Obj, err = decode(r, merge(whole, c.Patch)); err != nil {
		return w, err
	}
	if r.Strategy.Default != nil {
		r.Strategy.Default(w.Obj)
	}
	prepare, _, err := c.update(r)
	if prepare != nil {
		prepare(w.Obj, w.Old)
	}
	return w, err
}

type prepareFunc func(obj, old api.Object)

type validateFunc func(obj, old api.Object) field.ErrorList

func (c *Case) update(r *api.Resource) (prepareFunc, validateFunc, error) {
	switch c.Does {
	case Update:
		return r.Strategy.PrepareUpdate, r.Strategy.ValidateUpdate, nil
	case Status:
		return r.Strategy.PrepareStatus, r.Strategy.ValidateStatus, nil
	}
	sub, ok := r.Subresource(c.Does)
	if !ok {
		return nil, nil, fmt.Errorf("%s has no subresource %s", r.Plural, c.Does)
	}
	return sub.PrepareUpdate, sub.ValidateUpdate, nil
}

// Run does the write and returns what is said about it.
func (c *Case) Run(r *api.Resource) (string, error) {
	w, err := c.Write(r)
	if err != nil {
		return "", err
	}
	warnings, errs, err := c.Judge(w)
	if err != nil {
		return "", err
	}
	return report(warnings, errs), nil
}

// Judge validates the write. As in the server, there are warnings only of writes that succeed, and only of those to the object
// itself.
func (c *Case) Judge(w Write) (warnings []string, errs field.ErrorList, err error) {
	s := &w.Resource.Strategy
	if c.Does == Create {
		errs = s.Validate(w.Obj)
	} else {
		_, validate, err := c.update(w.Resource)
		if err != nil {
			return nil, nil, err
		}
		if validate == nil {
			return nil, nil, errors.New("nothing is judged there")
		}
		errs = validate(w.Obj, w.Old)
	}
	if s.Warnings != nil && len(errs) == 0 && (c.Does == Create || c.Does == Update) {
		warnings = s.Warnings(w.Obj, w.Old)
	}
	return warnings, errs, nil
}

func report(warnings []string, errs field.ErrorList) string {
	if len(warnings)+len(errs) == 0 {
		return "ok\n"
	}
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "warning: %s\n", line(w))
	}
	for _, err := range errs {
		fmt.Fprintln(&b, line(err.Error()))
	}
	return b.String()
}

// line is the first line of a text, of bounded length. What follows it are listings of differences.
func line(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}

// stored is the base as it would be in the store, status included.
func stored(r *api.Resource, base map[string]any) (api.Object, error) {
	obj, err := decode(r, base)
	if err != nil {
		return nil, err
	}
	onCreate(r, obj)
	if base["status"] == nil {
		return obj, nil
	}
	whole, err := encode(obj)
	if err != nil {
		return nil, err
	}
	whole["status"] = base["status"]
	return decode(r, whole)
}

// onCreate does what the server does to a new object before it judges it.
func onCreate(r *api.Resource, obj api.Object) {
	if r.Strategy.Default != nil {
		r.Strategy.Default(obj)
	}
	obj.SetUID("00000000-0000-0000-0000-000000000001")
	obj.SetCreationTimestamp(metav1.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	obj.SetResourceVersion("1")
	if r.Strategy.PrepareCreate != nil {
		r.Strategy.PrepareCreate(obj)
	}
}

func encode(obj api.Object) (map[string]any, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(data, &out)
}

// decode is strict: a misspelt field in a scenario would test nothing.
func decode(r *api.Resource, value map[string]any) (api.Object, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	obj := r.NewStored()
	if obj == nil {
		return nil, fmt.Errorf("%s are not stored", r.Plural)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return obj, d.Decode(obj)
}

// merge is a JSON merge patch; neither argument changes.
func merge(target, patch map[string]any) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			under, _ := out[key].(map[string]any)
			out[key] = merge(under, value)
		default:
			out[key] = value
		}
	}
	return out
}
