package clientfake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

// Write implements client.Interface.
func (c *Client) Write(ctx context.Context, w client.Write) (runtime.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.writes = append(c.writes, w)
	intercept := c.intercept
	c.mu.Unlock()
	if intercept != nil {
		if answer, handled, err := intercept(w); handled || err != nil {
			return answer, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	col, err := c.find(w.Resource)
	if err != nil {
		return nil, err
	}
	switch w.Verb {
	case client.Create:
		return c.create(col, w)
	case client.Update:
		return c.update(col, w)
	case client.Patch:
		return c.patch(col, w)
	case client.Delete:
		return c.delete(col, w)
	case client.DeleteCollection:
		return nil, c.deleteCollection(col, w)
	}
	return nil, apierrors.NewBadRequest("unknown verb " + string(w.Verb))
}

func (c *Client) nextUID() types.UID {
	c.counter++
	return types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", c.counter))
}

func (c *Client) create(col *collection, w client.Write) (runtime.Object, error) {
	if w.Subresource != "" {
		return c.createSubresource(col, w)
	}
	given, ok := w.Object.(api.Object)
	if !ok {
		return nil, apierrors.NewBadRequest("create without an object")
	}
	obj := given.DeepCopyObject().(api.Object)
	if col.resource.Namespaced && w.Namespace != "" {
		obj.SetNamespace(w.Namespace)
	}
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		c.counter++
		obj.SetName(fmt.Sprintf("%s%05d", obj.GetGenerateName(), c.counter))
	}
	if obj.GetName() == "" {
		return nil, apierrors.NewBadRequest("name or generateName is required")
	}
	if obj.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if _, taken := col.live.Get(row{key: key(obj.GetNamespace(), obj.GetName())}); taken {
		return nil, apierrors.NewAlreadyExists(w.Resource, obj.GetName())
	}
	obj.SetUID(c.nextUID())
	obj.SetCreationTimestamp(metav1.NewTime(c.now()))
	if obj.GetGeneration() == 0 {
		obj.SetGeneration(1)
	}
	if !w.DryRun {
		c.put(col, obj)
	}
	return obj, nil
}

// createSubresource knows the two that change their parent: a pod's binding and an eviction.
func (c *Client) createSubresource(col *collection, w client.Write) (runtime.Object, error) {
	old, err := c.existing(col, w, nil)
	if err != nil {
		return nil, err
	}
	switch w.Subresource {
	case "binding":
		binding, ok := w.Object.(*corev1.Binding)
		pod, isPod := old.DeepCopyObject().(*corev1.Pod)
		if !ok || !isPod {
			return nil, apierrors.NewBadRequest("binding needs a Binding and a pod")
		}
		if pod.Spec.NodeName != "" {
			return nil, apierrors.NewConflict(w.Resource, w.Name,
				fmt.Errorf("pod %s is already assigned to node %q", w.Name, pod.Spec.NodeName))
		}
		pod.Spec.NodeName = binding.Target.Name
		if !w.DryRun {
			c.put(col, pod)
		}
		return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, nil
	case "eviction":
		_, err := c.delete(col, client.Write{Resource: w.Resource, Namespace: w.Namespace, Name: w.Name, DryRun: w.DryRun})
		return &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, err
	}
	return nil, apierrors.NewMethodNotSupported(w.Resource, "create "+w.Subresource)
}

// existing finds what a write is about; obj, when given, names it where the write does not.
func (c *Client) existing(col *collection, w client.Write, obj api.Object) (api.Object, error) {
	namespace, name := w.Namespace, w.Name
	if obj != nil {
		if name == "" {
			name = obj.GetName()
		}
		if namespace == "" {
			namespace = obj.GetNamespace()
		}
	}
	found, ok := col.live.Get(row{key: key(namespace, name)})
	if !ok {
		return nil, apierrors.NewNotFound(w.Resource, name)
	}
	return found.obj, nil
}

func (c *Client) update(col *collection, w client.Write) (runtime.Object, error) {
	obj, ok := w.Object.(api.Object)
	if !ok {
		return nil, apierrors.NewBadRequest("update without an object")
	}
	old, err := c.existing(col, w, obj)
	if err != nil {
		return nil, err
	}
	return c.replace(col, w, old, obj)
}

// replace is the common end of update and patch.
func (c *Client) replace(col *collection, w client.Write, old, given api.Object) (runtime.Object, error) {
	if v := given.GetResourceVersion(); v != "" && v != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(w.Resource, old.GetName(),
			fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if given.GetUID() != "" && given.GetUID() != old.GetUID() {
		return nil, apierrors.NewConflict(w.Resource, old.GetName(),
			fmt.Errorf("precondition failed: UID in precondition: %v, UID in object meta: %v", given.GetUID(), old.GetUID()))
	}
	obj := given.DeepCopyObject().(api.Object)
	if w.Subresource == "status" {
		merged, err := withStatusOf(old, obj)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		obj = merged
	}
	obj.SetNamespace(old.GetNamespace())
	obj.SetName(old.GetName())
	obj.SetUID(old.GetUID())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	obj.SetResourceVersion(old.GetResourceVersion())
	changed, err := differs(old, obj)
	switch {
	case err != nil:
		return nil, err
	case !changed:
		return old, nil
	case w.DryRun:
		return obj, nil
	case obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && zeroGrace(obj):
		c.remove(col, key(obj.GetNamespace(), obj.GetName()))
		return obj, nil
	}
	c.put(col, obj)
	return obj, nil
}

func zeroGrace(obj api.Object) bool {
	grace := obj.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

func differs(a, b api.Object) (bool, error) {
	left, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	right, err := json.Marshal(b)
	return !bytes.Equal(left, right), err
}

// withStatusOf returns old with obj's status.
func withStatusOf(old, obj api.Object) (api.Object, error) {
	from, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	into, err := runtime.DefaultUnstructuredConverter.ToUnstructured(old)
	if err != nil {
		return nil, err
	}
	into["status"] = from["status"]
	return fromMap(into, old)
}

func fromMap(m map[string]any, like api.Object) (api.Object, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return fromJSON(data, like)
}

// fromJSON decodes into a new object of like's Go type.
func fromJSON(data []byte, like api.Object) (api.Object, error) {
	fresh, err := freshLike(like)
	if err != nil {
		return nil, err
	}
	return fresh, json.Unmarshal(data, fresh)
}

func (c *Client) patch(col *collection, w client.Write) (runtime.Object, error) {
	old, err := c.existing(col, w, nil)
	if apierrors.IsNotFound(err) && w.PatchType == types.ApplyPatchType && w.Subresource == "" {
		return c.applyNew(col, w)
	}
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	after, err := patched(before, w, old)
	if err != nil {
		return nil, apierrors.NewBadRequest("applying patch: " + err.Error())
	}
	obj, err := fromJSON(after, old)
	if err != nil {
		return nil, apierrors.NewBadRequest("decoding patched object: " + err.Error())
	}
	return c.replace(col, w, old, obj)
}

// patched applies the patch to JSON. Server-side apply is taken as a strategic merge: the fake tracks no field owners.
func patched(before []byte, w client.Write, like api.Object) ([]byte, error) {
	switch w.PatchType {
	case types.JSONPatchType:
		p, err := jsonpatch.DecodePatch(w.PatchData)
		if err != nil {
			return nil, err
		}
		return p.Apply(before)
	case types.MergePatchType:
		return jsonpatch.MergePatch(before, w.PatchData)
	case types.StrategicMergePatchType:
		return strategicpatch.StrategicMergePatch(before, w.PatchData, like)
	case types.ApplyPatchType:
		data, err := yaml.YAMLToJSON(w.PatchData)
		if err != nil {
			return nil, err
		}
		return strategicpatch.StrategicMergePatch(before, data, like)
	default:
		return nil, fmt.Errorf("unknown patch type %q", w.PatchType)
	}
}

func (c *Client) applyNew(col *collection, w client.Write) (runtime.Object, error) {
	obj := col.resource.NewStored()
	if err := yaml.Unmarshal(w.PatchData, obj); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj.SetName(w.Name)
	return c.create(col, client.Write{Resource: w.Resource, Namespace: w.Namespace, Object: obj, DryRun: w.DryRun})
}

func (c *Client) delete(col *collection, w client.Write) (runtime.Object, error) {
	old, err := c.existing(col, w, nil)
	if err != nil {
		return nil, err
	}
	if p := w.Delete.Preconditions; p != nil {
		if p.UID != nil && *p.UID != old.GetUID() {
			return nil, apierrors.NewConflict(w.Resource, w.Name,
				fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s)", *p.UID, old.GetUID()))
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion() {
			return nil, apierrors.NewConflict(w.Resource, w.Name,
				fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s)",
					*p.ResourceVersion, old.GetResourceVersion()))
		}
	}
	if w.DryRun {
		return old, nil
	}
	grace := graceOf(old, w)
	if len(old.GetFinalizers()) == 0 && grace == 0 {
		c.remove(col, key(old.GetNamespace(), old.GetName()))
		return old, nil
	}
	if old.GetDeletionTimestamp() != nil {
		return old, nil
	}
	obj := old.DeepCopyObject().(api.Object)
	at := metav1.NewTime(c.now())
	obj.SetDeletionTimestamp(&at)
	obj.SetDeletionGracePeriodSeconds(&grace)
	c.put(col, obj)
	return obj, nil
}

// graceOf gives an assigned pod its grace period, as the API server does; everything else goes at once.
func graceOf(obj api.Object, w client.Write) int64 {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return 0
	}
	if w.Delete.GracePeriodSeconds != nil {
		return *w.Delete.GracePeriodSeconds
	}
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		return *s
	}
	return 30
}

func (c *Client) deleteCollection(col *collection, w client.Write) error {
	match, err := newMatcher(w.Namespace, w.Selector.LabelSelector, w.Selector.FieldSelector)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	var names []string
	col.live.Ascend(func(r row) bool {
		if match(col.resource, r.obj) {
			names = append(names, r.key)
		}
		return true
	})
	for _, k := range names {
		namespace, name, _ := strings.Cut(k, "\x00")
		one := client.Write{Resource: w.Resource, Namespace: namespace, Name: name, Delete: w.Delete, DryRun: w.DryRun}
		if _, err := c.delete(col, one); err != nil {
			return err
		}
	}
	return nil
}
