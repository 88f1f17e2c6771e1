package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"coracle.dev/coracle/internal/api"
)

// envelope begins every protobuf value in etcd; JSON values begin with a brace.
const envelope = "k8s\x00"

// jsonGroups are the groups whose built-in kinds upstream keeps as JSON, because servers of their own once stored them.
func jsonGroup(group string) bool {
	return group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io"
}

// Storage reads and writes one kind as upstream keeps it in etcd. Safe for concurrent use.
type Storage struct {
	res *api.Resource
	gvk schema.GroupVersionKind
	// binary says that the kind is written as protobuf.
	binary bool
}

// StorageCodec returns the codec of a stored resource.
func StorageCodec(res *api.Resource) *Storage {
	_, message := res.NewStored().(protobufMessage)
	return &Storage{res: res, gvk: res.StoredGVK(), binary: message && !jsonGroup(res.Group)}
}

type protobufMessage interface {
	runtime.ProtobufMarshaller
	Reset()
	Unmarshal([]byte) error
}

// Decode reads a stored value in either format and in any version that the resource knows. The result is an api.Object of the
// stored Go type with apiVersion, kind and resourceVersion set and defaults applied.
func (s *Storage) Decode(key string, data []byte, revision int64) (any, error) {
	obj, err := s.decode(data)
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", key, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(s.gvk)
	if s.res.Strategy.Default != nil {
		s.res.Strategy.Default(obj)
	}
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return obj, nil
}

func (s *Storage) decode(data []byte) (api.Object, error) {
	if !bytes.HasPrefix(data, []byte(envelope)) {
		return s.decodeJSON(data)
	}
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(data[len(envelope):]); err != nil {
		return nil, fmt.Errorf("protobuf envelope: %w", err)
	}
	gvk := schema.FromAPIVersionAndKind(unknown.APIVersion, unknown.Kind)
	empty, toStored, err := s.target(gvk)
	if err != nil {
		return nil, err
	}
	message, ok := empty.(protobufMessage)
	if !ok {
		return nil, fmt.Errorf("%s has no protobuf form", gvk)
	}
	if err := message.Unmarshal(unknown.Raw); err != nil {
		return nil, fmt.Errorf("protobuf of %s: %w", gvk, err)
	}
	return convert(empty, toStored)
}

func (s *Storage) decodeJSON(data []byte) (api.Object, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := utiljson.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	gvk := schema.FromAPIVersionAndKind(head.APIVersion, head.Kind)
	empty, toStored, err := s.target(gvk)
	if err != nil {
		return nil, err
	}
	if u, ok := empty.(*unstructured.Unstructured); ok {
		content := map[string]any{}
		if err := utiljson.Unmarshal(data, &content); err != nil {
			return nil, fmt.Errorf("JSON of %s: %w", gvk, err)
		}
		u.Object = content
	} else if err := utiljson.Unmarshal(data, empty); err != nil {
		return nil, fmt.Errorf("JSON of %s: %w", gvk, err)
	}
	return convert(empty, toStored)
}

// target returns an empty object to decode a value of that kind into, and the conversion to the stored type if one is needed.
// Versions that upstream once stored, or still does, and whose wire form is that of the served one are read as the stored type.
func (s *Storage) target(gvk schema.GroupVersionKind) (runtime.Object, func(runtime.Object) (api.Object, error), error) {
	if gvk.Group != s.res.Group || gvk.Kind != s.res.Kind {
		return nil, nil, fmt.Errorf("found a %s where a %s belongs", gvk, s.gvk)
	}
	if v, ok := s.res.Version(gvk.Version); ok {
		return v.New(), v.ToStored, nil
	}
	if sameWireForm(gvk) {
		return s.res.NewStored(), nil, nil
	}
	return nil, nil, fmt.Errorf("stored version %s of %s is not supported", gvk.Version, s.gvk.GroupKind())
}

// sameWireForm lists former and upstream-preferred storage versions whose messages are those of v1.
func sameWireForm(gvk schema.GroupVersionKind) bool {
	switch gvk.Group {
	case "certificates.k8s.io":
		return gvk.Version == "v1beta1" && (gvk.Kind == "ClusterTrustBundle" || gvk.Kind == "PodCertificateRequest")
	case "storagemigration.k8s.io":
		return gvk.Version == "v1beta1"
	case "resource.k8s.io":
		return gvk.Version == "v1beta2"
	case "networking.k8s.io":
		return gvk.Version == "v1beta1" && (gvk.Kind == "IPAddress" || gvk.Kind == "ServiceCIDR")
	case "storage.k8s.io":
		return gvk.Version == "v1beta1" && gvk.Kind == "VolumeAttributesClass"
	case "admissionregistration.k8s.io":
		return gvk.Version == "v1beta1"
	}
	return false
}

func convert(obj runtime.Object, toStored func(runtime.Object) (api.Object, error)) (api.Object, error) {
	if toStored != nil {
		return toStored(obj)
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%T has no metadata", obj)
	}
	return o, nil
}

// Encode writes an object of the stored Go type without its resourceVersion and selfLink. The object may be shared: it is not
// changed.
func (s *Storage) Encode(obj any) ([]byte, error) {
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("encoding %s: %T is not an API object", s.gvk, obj)
	}
	bare, err := s.bare(o)
	if err != nil {
		return nil, err
	}
	if s.binary {
		return encodeEnvelope(bare, s.gvk)
	}
	var data []byte
	if u, ok := bare.(*unstructured.Unstructured); ok {
		data, err = utiljson.Marshal(u.Object)
	} else {
		data, err = utiljson.Marshal(bare)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding %s as JSON: %w", s.gvk, err)
	}
	// Upstream's serializer ends every object with a newline.
	return append(data, '\n'), nil
}

// bare returns a shallow copy of obj without the fields that are never stored, and with the stored apiVersion and kind.
func (s *Storage) bare(obj api.Object) (api.Object, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return s.bareUnstructured(u), nil
	}
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, fmt.Errorf("encoding %s: %T is not a pointer to an object", s.gvk, obj)
	}
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	bare, ok := c.Interface().(api.Object)
	if !ok {
		return nil, fmt.Errorf("encoding %s: %T is not an API object", s.gvk, obj)
	}
	bare.SetResourceVersion("")
	bare.SetSelfLink("")
	bare.GetObjectKind().SetGroupVersionKind(s.gvk)
	return bare, nil
}

// bareUnstructured keeps the apiVersion: custom resources are stored in the version they came in after conversion.
func (s *Storage) bareUnstructured(u *unstructured.Unstructured) api.Object {
	top := make(map[string]any, len(u.Object))
	for k, v := range u.Object {
		top[k] = v
	}
	if m, ok := u.Object["metadata"].(map[string]any); ok {
		bare := make(map[string]any, len(m))
		for k, v := range m {
			if k != "resourceVersion" && k != "selfLink" {
				bare[k] = v
			}
		}
		top["metadata"] = bare
	}
	return &unstructured.Unstructured{Object: top}
}

// encodeEnvelope writes the message into runtime.Unknown behind the prefix, in one buffer.
func encodeEnvelope(obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	message, ok := obj.(protobufMessage)
	if !ok {
		return nil, fmt.Errorf("encoding %s: %T has no protobuf form", gvk, obj)
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}}
	size := message.Size()
	// The envelope needs the raw field's tag and length (at most 11 bytes) besides its own fields.
	buf := make([]byte, len(envelope)+unknown.Size()+size+11)
	copy(buf, envelope)
	n, err := unknown.NestedMarshalTo(buf[len(envelope):], message, uint64(size))
	if err != nil {
		return nil, fmt.Errorf("encoding %s as protobuf: %w", gvk, err)
	}
	return buf[:len(envelope)+n], nil
}
