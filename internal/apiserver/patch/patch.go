package patch

import (
	"errors"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"coracle.dev/coracle/internal/apiserver/convert"
)

// maxJSONPatchOperations is upstream's limit on one JSON patch.
const maxJSONPatchOperations = 10000

// Patch is a patch to an existing object.
type Patch struct {
	Type types.PatchType
	Data []byte
	// Strict reports unknown and duplicate fields.
	Strict bool
}

// Supported lists the patch types of a kind, as a 415 answer names them.
func Supported(custom bool) []string {
	if custom {
		return []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)}
	}
	return []string{
		string(types.JSONPatchType), string(types.MergePatchType),
		string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType),
	}
}

// Apply returns current (of a served version, kind set) with the patch applied, as a new object decoded into an empty object
// of the same type. The second result lists unknown and duplicate fields.
func (p Patch) Apply(dec *convert.Decoder, current, into runtime.Object) (runtime.Object, []error, error) {
	switch p.Type {
	case types.StrategicMergePatchType:
		return p.strategic(current, into)
	case types.JSONPatchType, types.MergePatchType:
	default:
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("unknown patch type %q", p.Type))
	}
	doc, err := json.Marshal(current)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("encoding the object to patch: %w", err))
	}
	var strict []error
	var patched []byte
	if p.Type == types.JSONPatchType {
		patched, strict, err = p.jsonPatch(doc)
	} else {
		patched, strict, err = p.merge(doc)
	}
	if err != nil {
		return nil, nil, err
	}
	obj, more, err := decodePatched(dec, patched, current.GetObjectKind().GroupVersionKind(), into, p.Strict)
	return obj, append(strict, more...), err
}

func (p Patch) jsonPatch(doc []byte) ([]byte, []error, error) {
	var strict []error
	if p.Strict {
		var ops []struct {
			Op    string `json:"op"`
			Path  string `json:"path"`
			From  string `json:"from"`
			Value any    `json:"value"`
		}
		problems, err := kjson.UnmarshalStrict(p.Data, &ops)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
		for _, problem := range problems {
			strict = append(strict, fmt.Errorf("json patch %w", problem))
		}
	}
	ops, err := jsonpatch.DecodePatch(p.Data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(ops) > maxJSONPatchOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"The allowed maximum operations in a JSON patch is %d, got %d", maxJSONPatchOperations, len(ops)))
	}
	patched, err := ops.Apply(doc)
	if err != nil {
		return nil, nil, apierrors.NewGenericServerResponse(
			http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return patched, strict, nil
}

func (p Patch) merge(doc []byte) ([]byte, []error, error) {
	var strict []error
	if p.Strict {
		var err error
		if strict, err = kjson.UnmarshalStrict(p.Data, &map[string]any{}); err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	}
	patched, err := jsonpatch.MergePatch(doc, p.Data)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return patched, strict, nil
}

func (p Patch) strategic(current, into runtime.Object) (runtime.Object, []error, error) {
	if _, custom := current.(*unstructured.Unstructured); custom {
		return nil, nil, apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "", schema.GroupResource{}, "",
			"strategic merge patch is not supported for custom resources", 0, false)
	}
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(current)
	if err != nil {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("reading the object to patch: %w", err))
	}
	patchMap := map[string]any{}
	var strict []error
	if p.Strict {
		strict, err = kjson.UnmarshalStrict(p.Data, &patchMap)
	} else {
		err = kjson.UnmarshalCaseSensitivePreserveInts(p.Data, &patchMap)
	}
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	patched, err := strategicpatch.StrategicMergeMapPatch(doc, patchMap, into)
	if err != nil {
		return nil, nil, strategicError(err)
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, into, p.Strict)
	if err != nil {
		problems, isStrict := runtime.AsStrictDecodingError(err)
		if !isStrict {
			return nil, nil, invalidPatch(fmt.Sprintf("%+v", patchMap), err)
		}
		strict = append(strict, problems.Errors()...)
	}
	return into, strict, nil
}

// strategicError tells a malformed patch (400) from one that can't be applied (422), as upstream does.
func strategicError(err error) error {
	for _, bad := range []error{
		mergepatch.ErrBadJSONDoc, mergepatch.ErrBadPatchFormatForPrimitiveList,
		mergepatch.ErrBadPatchFormatForRetainKeys, mergepatch.ErrBadPatchFormatForSetElementOrderList,
		mergepatch.ErrUnsupportedStrategicMergePatchFormat,
	} {
		if errors.Is(err, bad) {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	for _, bad := range []error{mergepatch.ErrNoListOfLists, mergepatch.ErrPatchContentNotMatchRetainKeys} {
		if errors.Is(err, bad) {
			return apierrors.NewGenericServerResponse(
				http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
	}
	return apierrors.NewInternalError(err)
}

func decodePatched(
	dec *convert.Decoder, data []byte, gvk schema.GroupVersionKind, into runtime.Object, strict bool,
) (runtime.Object, []error, error) {
	obj, problems, err := dec.Decode(convert.Body{
		Data: data, MediaType: convert.JSON, Default: gvk, Into: into, Strict: strict,
	})
	if err != nil {
		return nil, nil, invalidPatch(string(data), err)
	}
	return obj, problems, nil
}

func invalidPatch(value string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), value, err.Error()),
	})
}

// StrictError is what fieldValidation=Strict answers to the problems Apply found.
func (p Patch) StrictError(problems []error) error {
	return invalidPatch(string(p.Data), runtime.NewStrictDecodingError(problems))
}
