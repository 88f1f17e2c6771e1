package convert

import (
	"bytes"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// DeleteOptions reads the body of a delete. Clients name the kind in whatever group they speak to, so the group is not looked
// at.
func DeleteOptions(data []byte, mediaType string) (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{}
	kind, err := decodeOptions(data, mediaType, opts)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("decoding DeleteOptions: %v", err))
	}
	if kind != "" && kind != "DeleteOptions" {
		return nil, apierrors.NewBadRequest("decoded object cannot be converted to DeleteOptions")
	}
	return opts, nil
}

func decodeOptions(data []byte, mediaType string, opts *metav1.DeleteOptions) (kind string, err error) {
	switch mediaType {
	case Protobuf:
		raw, ok := bytes.CutPrefix(data, []byte("k8s\x00"))
		if !ok {
			return "", fmt.Errorf("provided data does not appear to be a protobuf message")
		}
		var unknown runtime.Unknown
		if err := unknown.Unmarshal(raw); err != nil {
			return "", err
		}
		return unknown.Kind, opts.Unmarshal(unknown.Raw)
	case YAML:
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return "", err
		}
	}
	err = kjson.UnmarshalCaseSensitivePreserveInts(data, opts)
	return opts.Kind, err
}
