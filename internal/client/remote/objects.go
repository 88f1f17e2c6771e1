package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
)

// decode reads an object in the media type that the answer names. Into is an empty object of the expected type, or nil to let
// the data say; a Status comes back as such whatever was expected.
func (c *Client) decode(data []byte, contentType string, into runtime.Object) (runtime.Object, error) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	if mediaType == runtime.ContentTypeProtobuf {
		obj, gvk, err := c.codec.Protobuf.Decode(data, nil, into)
		if err != nil {
			return nil, err
		}
		obj.GetObjectKind().SetGroupVersionKind(*gvk)
		return obj, nil
	}
	if u, ok := into.(*unstructured.Unstructured); ok {
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		if u.GetKind() != "Status" || u.GetAPIVersion() != "v1" {
			return u, nil
		}
		into = nil
	}
	obj, _, err := c.codec.JSON.Decode(data, nil, into)
	return obj, err
}

// body reads the whole body of an answer.
func body(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	if resp.ContentLength > 0 {
		data := make([]byte, resp.ContentLength)
		_, err := io.ReadFull(resp.Body, data)
		return data, err
	}
	return io.ReadAll(resp.Body)
}

// stored turns a decoded object of the spoken version into one of the stored type.
func (k kind) stored(obj runtime.Object) (api.Object, error) {
	if p, ok := obj.(*metav1.PartialObjectMetadata); ok {
		return p, nil
	}
	if k.ver != nil && k.ver.ToStored != nil {
		return k.ver.ToStored(obj)
	}
	o, ok := obj.(api.Object)
	if !ok {
		return nil, fmt.Errorf("%s: got a %T, which has no object metadata", k.gr, obj)
	}
	if k.res != nil && obj.GetObjectKind().GroupVersionKind().Empty() {
		obj.GetObjectKind().SetGroupVersionKind(k.res.StoredGVK())
	}
	return o, nil
}

// items takes a decoded list apart.
func (k kind) items(list runtime.Object) ([]api.Object, metav1.ListInterface, error) {
	listMeta, err := meta.ListAccessor(list)
	if err != nil {
		return nil, nil, err
	}
	var out []api.Object
	// Each item gets its own memory: one that is kept must not keep the whole list.
	err = meta.EachListItemWithAlloc(list, func(obj runtime.Object) error {
		o, err := k.stored(obj)
		if err != nil {
			return err
		}
		out = append(out, o)
		return nil
	})
	return out, listMeta, err
}

// encode writes an object for a request and names its media type. gvk is what the server expects there.
func (c *Client) encode(obj runtime.Object, gvk schema.GroupVersionKind) (data []byte, mediaType string, err error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		data, err = u.MarshalJSON()
		return data, runtime.ContentTypeJSON, err
	}
	named := withKind(obj, gvk)
	if _, ok := obj.(interface{ Marshal() ([]byte, error) }); ok {
		data, err = runtime.Encode(c.codec.Protobuf, named)
		return data, runtime.ContentTypeProtobuf, err
	}
	data, err = json.Marshal(named)
	return data, runtime.ContentTypeJSON, err
}

// withKind returns a copy of obj that names its kind: what is handed in is not changed.
func withKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	if obj.GetObjectKind().GroupVersionKind() == gvk {
		return obj
	}
	out := obj.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}
