package convert

import (
	"bytes"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Media types that bodies may have.
const (
	JSON     = runtime.ContentTypeJSON
	YAML     = runtime.ContentTypeYAML
	Protobuf = runtime.ContentTypeProtobuf
)

// Decoder reads bodies into objects. Safe for concurrent use.
type Decoder struct {
	infos map[string]runtime.SerializerInfo
}

// NewDecoder makes a decoder for the types of a scheme.
func NewDecoder(scheme *runtime.Scheme) *Decoder {
	d := &Decoder{infos: map[string]runtime.SerializerInfo{}}
	for _, info := range serializer.NewCodecFactory(scheme).SupportedMediaTypes() {
		d.infos[info.MediaType] = info
	}
	return d
}

// Body is bytes to decode and what they should be.
type Body struct {
	Data []byte
	// MediaType is JSON, YAML or Protobuf.
	MediaType string
	// Default is the kind when the body names none.
	Default schema.GroupVersionKind
	// Into is an empty object of the expected type.
	Into runtime.Object
	// Also lists other kinds that are taken as they come.
	Also []schema.GroupVersionKind
	// Strict reports unknown and duplicate fields.
	Strict bool
}

// Decode reads a body. Strict problems that did not keep the object from being read come as the second result. Errors are
// BadRequest in upstream's words.
func (d *Decoder) Decode(b Body) (runtime.Object, []error, error) {
	if u, ok := b.Into.(*unstructured.Unstructured); ok {
		return decodeUnstructured(b, u)
	}
	info, ok := d.infos[b.MediaType]
	if !ok {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("no decoder for %s", b.MediaType))
	}
	var dec runtime.Decoder = info.Serializer
	if b.Strict {
		dec = info.StrictSerializer
	}
	into := b.Into
	if len(b.Also) > 0 {
		into = nil // the body says which of the kinds it is
	}
	obj, gvk, err := dec.Decode(b.Data, &b.Default, into)
	var strict []error
	if err != nil {
		s, isStrict := runtime.AsStrictDecodingError(err)
		if !isStrict || obj == nil {
			return nil, nil, decodeError(err, b, gvk)
		}
		strict = s.Errors()
	}
	if gvk != nil && slices.Contains(b.Also, *gvk) {
		return obj, strict, nil
	}
	if gvk != nil && gvk.GroupVersion() != b.Default.GroupVersion() {
		return nil, nil, versionMismatch(gvk.GroupVersion(), b.Default.GroupVersion())
	}
	if gvk != nil && gvk.Kind != b.Default.Kind {
		return nil, nil, decodeError(fmt.Errorf("converting (%s) to (%s): unknown conversion", gvk, b.Default), b, gvk)
	}
	return obj, strict, nil
}

// StrictError is what fieldValidation=Strict answers to the problems Decode found.
func StrictError(b Body, problems []error) error {
	return decodeError(runtime.NewStrictDecodingError(problems), b, &b.Default)
}

func versionMismatch(got, want schema.GroupVersion) error {
	return apierrors.NewBadRequest(fmt.Sprintf(
		"the API version in the data (%s) does not match the expected API version (%s)", got, want))
}

func decodeError(err error, b Body, gvk *schema.GroupVersionKind) error {
	if gvk != nil && gvk.Kind != "" {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v",
			gvk.Kind, gvk.Version, b.Default.Kind, err))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)",
		b.Default.Kind, err, summary(b.Data, 30)))
}

// summary shows the beginning of a body in an error, as upstream does.
func summary(data []byte, limit int) string {
	switch {
	case len(data) == 0:
		return "<empty>"
	case len(data) > limit:
		return fmt.Sprintf("%.*x ...", limit, data[:limit])
	default:
		return fmt.Sprintf("%x", data)
	}
}

func decodeUnstructured(b Body, into *unstructured.Unstructured) (runtime.Object, []error, error) {
	data := b.Data
	var strict []error
	if b.MediaType == YAML {
		converted, err := yaml.YAMLToJSON(data)
		if err != nil {
			return nil, nil, decodeError(err, b, nil)
		}
		if b.Strict {
			if _, err := yaml.YAMLToJSONStrict(data); err != nil {
				strict = append(strict, err)
			}
		}
		data = converted
	}
	content := map[string]any{}
	var err error
	if b.Strict {
		var more []error
		more, err = kjson.UnmarshalStrict(bytes.TrimSpace(data), &content)
		strict = append(strict, more...)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(data, &content)
	}
	if err != nil {
		return nil, nil, decodeError(err, b, nil)
	}
	into.Object = content
	gvk := into.GroupVersionKind()
	switch {
	case gvk.Kind == "" && gvk.Version == "":
		into.SetGroupVersionKind(b.Default)
	case gvk.GroupVersion() != b.Default.GroupVersion():
		return nil, nil, versionMismatch(gvk.GroupVersion(), b.Default.GroupVersion())
	case gvk.Kind != b.Default.Kind:
		return nil, nil, decodeError(fmt.Errorf("converting (%s) to (%s): unknown conversion", gvk, b.Default), b, &gvk)
	}
	return into, strict, nil
}
