package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/chain"
	"coracle.dev/coracle/internal/apiserver/convert"
)

// form is how the objects of one resource look in an answer: their kind and their bare encoding. Bare JSON has no apiVersion
// and kind, bare protobuf no envelope: both are put around it where an object stands alone, and left out in lists.
type form struct {
	res      *api.Resource
	version  *api.Version
	gvk      schema.GroupVersionKind
	protobuf bool
	partial  bool
	// whole: the bare JSON names its kind itself (custom resources).
	whole bool
	// name of the encoding among those the store keeps.
	name string
	// open is what a JSON object begins with in place of its brace.
	open []byte
}

func formOf(t chain.Target, m Media) form {
	f := form{
		res: t.Resource, version: t.Version, gvk: t.Resource.GVK(t.Version.Name), protobuf: m.Type == convert.Protobuf,
	}
	f.name = "json;" + t.Version.Name
	if f.protobuf {
		f.name = "protobuf;" + t.Version.Name
	}
	if t.Resource.Group != "" && t.Resource.StoredAs.Resource != "" {
		f.name += ";" + t.Resource.Group
	}
	if m.As != "" {
		f.partial = true
		f.gvk = metaKind(m, "PartialObjectMetadata")
		f.name += ";metadata"
	} else if _, ok := t.Version.New().(*unstructured.Unstructured); ok {
		f.whole = true
	}
	f.open = jsonOpen(f.gvk)
	return f
}

func jsonOpen(gvk schema.GroupVersionKind) []byte {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	return fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q`, kind, apiVersion)
}

// bare returns the item's bare encoding, shared by all answers of this form.
func (f form) bare(item chain.Item) ([]byte, error) { return item.Encoded(f.name, f.encode) }

func (f form) encode(obj api.Object) ([]byte, error) {
	var out runtime.Object
	if f.partial {
		p := *chain.Partial(obj)
		p.Kind, p.APIVersion = "", ""
		out = &p
	} else {
		versioned, err := convert.FromStored(f.res, f.version, obj)
		if err != nil {
			return nil, err
		}
		out = versioned
		if !f.whole && !f.protobuf {
			out = convert.WithKind(versioned, schema.GroupVersionKind{})
		}
	}
	if f.protobuf {
		return marshalProto(out)
	}
	return json.Marshal(out)
}

func marshalProto(obj runtime.Object) ([]byte, error) {
	m, ok := obj.(interface{ Marshal() ([]byte, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no protobuf form", obj)
	}
	return m.Marshal()
}

// appendAlone appends a bare encoding as an object that stands alone.
func (f form) appendAlone(dst, bare []byte) []byte {
	if f.protobuf {
		return appendEnvelope(dst, f.gvk, bare)
	}
	if f.whole {
		return append(dst, bare...)
	}
	dst = append(dst, f.open...)
	if !bytes.Equal(bare, []byte("{}")) {
		dst = append(dst, ',')
	}
	return append(dst, bare[1:]...)
}

// protoMagic begins every protobuf object that stands alone.
const protoMagic = "k8s\x00"

// appendEnvelope puts upstream's envelope (message runtime.Unknown: type meta, raw bytes, encoding and type of content, both
// empty) around a message.
func appendEnvelope(dst []byte, gvk schema.GroupVersionKind, raw []byte) []byte {
	dst = appendEnvelopeHead(dst, gvk, len(raw))
	dst = append(dst, raw...)
	return append(dst, envelopeTail...)
}

const envelopeTail = "\x1a\x00\x22\x00"

func appendEnvelopeHead(dst []byte, gvk schema.GroupVersionKind, rawLen int) []byte {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	dst = append(dst, protoMagic...)
	meta := make([]byte, 0, len(apiVersion)+len(kind)+8)
	meta = appendBytesField(meta, 1, apiVersion)
	meta = appendBytesField(meta, 2, kind)
	dst = appendBytesField(dst, 1, string(meta))
	dst = append(dst, 2<<3|2)
	return appendVarint(dst, uint64(rawLen))
}

func appendBytesField(dst []byte, number byte, value string) []byte {
	dst = append(dst, number<<3|2)
	dst = appendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func varintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		n++
		v >>= 7
	}
	return n
}

// encodeObject encodes any object with its kind set, as one answer.
func encodeObject(obj runtime.Object, mediaType string, pretty bool) ([]byte, error) {
	if mediaType == convert.Protobuf {
		raw, err := marshalProto(obj)
		if err != nil {
			return nil, err
		}
		return appendEnvelope(nil, obj.GetObjectKind().GroupVersionKind(), raw), nil
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return finishText(data, mediaType, pretty)
}

// finishText turns compact JSON into what was asked for: YAML, indented JSON, or itself with a line end.
func finishText(data []byte, mediaType string, pretty bool) ([]byte, error) {
	switch {
	case mediaType == convert.YAML:
		return yaml.JSONToYAML(data)
	case pretty:
		var b bytes.Buffer
		if err := json.Indent(&b, data, "", "  "); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	default:
		return append(data, '\n'), nil
	}
}
