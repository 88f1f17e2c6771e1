package codec

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// Media types of the formats offered here.
const (
	MediaTypeJSON     = "application/json"
	MediaTypeYAML     = "application/yaml"
	MediaTypeProtobuf = "application/vnd.kubernetes.protobuf"
)

// Set holds the serializers of one scheme. They read and write versioned types as they are: no defaults, no conversion. All
// are safe for concurrent use.
type Set struct {
	// JSON and YAML ignore unknown and duplicate fields on decoding; the strict ones return the object together with an error
	// for which runtime.IsStrictDecodingError holds.
	JSON       runtime.Serializer
	StrictJSON runtime.Serializer
	YAML       runtime.Serializer
	StrictYAML runtime.Serializer
	// PrettyJSON writes indented JSON.
	PrettyJSON runtime.Serializer
	// Protobuf reads and writes messages in the "k8s\x00" envelope. RawProtobuf writes bare messages, as streams of watch events
	// need them inside their frames.
	Protobuf    runtime.Serializer
	RawProtobuf runtime.Serializer
	// JSONFramer, YAMLFramer and ProtobufFramer cut streams into objects.
	JSONFramer     runtime.Framer
	YAMLFramer     runtime.Framer
	ProtobufFramer runtime.Framer

	scheme *runtime.Scheme
}

// New makes the serializers for a scheme, which must not change any more.
func New(scheme *runtime.Scheme) *Set {
	text := func(yaml, pretty, strict bool) runtime.Serializer {
		return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
			json.SerializerOptions{Yaml: yaml, Pretty: pretty, Strict: strict})
	}
	return &Set{
		JSON:           text(false, false, false),
		StrictJSON:     text(false, false, true),
		YAML:           text(true, false, false),
		StrictYAML:     text(true, false, true),
		PrettyJSON:     text(false, true, false),
		Protobuf:       protobuf.NewSerializer(scheme, scheme),
		RawProtobuf:    protobuf.NewRawSerializer(scheme, scheme),
		JSONFramer:     json.Framer,
		YAMLFramer:     json.YAMLFramer,
		ProtobufFramer: protobuf.LengthDelimitedFramer,
		scheme:         scheme,
	}
}
