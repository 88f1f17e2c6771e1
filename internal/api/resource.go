package api

import (
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is any API object. Objects that come out of an image, a cache or a watch are shared and immutable: copy before change.
type Object interface {
	runtime.Object
	metav1.Object
}

// Resource describes one kind as the API serves it. All functions are pure and safe for concurrent use; a nil function means
// "nothing to do". In memory an object always has the Go type of the stored version; the other versions exist only at the
// edge, by FromStored and ToStored.
type Resource struct {
	Group    string
	Plural   string
	Singular string
	Kind     string
	// ListKind is the kind of a list, normally Kind + "List".
	ListKind   string
	ShortNames []string
	Categories []string
	Namespaced bool
	// Verbs are the verbs of the main resource, as discovery shows them.
	Verbs []string
	// Versions are the served versions, the preferred one first.
	Versions []Version
	// StoredVersion names the element of Versions whose Go type is used in memory and in etcd.
	StoredVersion string
	// StoragePath is the folder under /registry/ where upstream keeps the kind, such as "pods", "minions" or "services/specs".
	// Empty for kinds that are never stored (reviews, bindings).
	StoragePath string
	// StoredAs, when not empty, says that this resource is only a view on another one's storage (events.k8s.io on core events).
	// Versions then convert to and from that resource's stored type.
	StoredAs     schema.GroupResource
	Subresources []Subresource

	// Strategy holds the kind's own behaviour.
	Strategy Strategy
	// Table says how kubectl get prints the kind.
	Table Table
	// Indexes are secondary indexes that images and caches keep: name to a function giving the object's values. See the
	// Index... constants for the names that others rely on.
	Indexes map[string]func(Object) []string
	// SelectableFields returns the fields that field selectors may use, metadata.name and metadata.namespace included.
	SelectableFields func(Object) fields.Set
	// Scale gives the scale subresource its access, for kinds that have one.
	Scale *Scale
}

// Names of indexes that other rooms rely on.
const (
	// IndexController lists objects by the UID of their controlling owner (every stored kind has it).
	IndexController = "controller"
	// IndexNode lists pods by spec.nodeName; pods without a node are under the empty value.
	IndexNode = "node"
	// IndexService lists endpoint slices by "namespace/service name".
	IndexService = "service"
)

// Version is one served version of a resource.
type Version struct {
	Name string
	// New returns an empty object of this version's Go type, NewList an empty list.
	New     func() runtime.Object
	NewList func() runtime.Object
	// ToStored and FromStored convert between this version's type and the stored version's. Nil when the types are the same.
	// They may share parts with their argument and never change it.
	ToStored   func(runtime.Object) (Object, error)
	FromStored func(Object) (runtime.Object, error)
}

// Subresource is an entry such as pods/status as discovery lists it.
type Subresource struct {
	Name string
	// GVK is the kind read and written there.
	GVK schema.GroupVersionKind
	// New returns an empty object of that kind; nil for streams (exec, attach, portforward, log, proxy).
	New   func() runtime.Object
	Verbs []string
	// PrepareUpdate and ValidateUpdate take the place of the main resource's on writes to a subresource that carries the whole
	// object (ephemeralcontainers, resize, approval, finalize). Nil elsewhere; status has its own functions in Strategy.
	PrepareUpdate  func(obj, old Object)
	ValidateUpdate func(obj, old Object) field.ErrorList
	// ResetFields are the paths that a write here never changes and that server-side apply must not own, such as "spec" or
	// "metadata.labels".
	ResetFields []string
}

// Strategy is a kind's behaviour on writes. The order on create is Default, admission, PrepareCreate, Validate; on update
// Default, admission, PrepareUpdate, ValidateUpdate. Objects passed as obj belong to the callee and may be changed by Default
// and Prepare functions; old is shared and must not be.
type Strategy struct {
	Default       func(obj Object)
	PrepareCreate func(obj Object)
	PrepareUpdate func(obj, old Object)
	// PrepareStatus runs for writes to /status: keeps everything of old but status (and what upstream lets through).
	PrepareStatus func(obj, old Object)
	// Stamp fills in times that the server sets inside the object (conditions of certificate requests, device taints). It runs
	// after any Prepare function; old is nil on create.
	Stamp func(obj, old Object, now time.Time)
	// SetRequester writes the caller's identity into the object on create, for kinds that carry it (certificate requests). It
	// runs after PrepareCreate.
	SetRequester   func(obj Object, who Requester)
	Validate       func(obj Object) field.ErrorList
	ValidateUpdate func(obj, old Object) field.ErrorList
	ValidateStatus func(obj, old Object) field.ErrorList
	// ValidateName judges metadata.name as upstream does for the kind (DNS subdomain, label, path segment); prefix tells that
	// the name is a generateName prefix.
	ValidateName func(name string, prefix bool) []string
	// Warnings returns the Warning headers for a create (old nil) or update.
	Warnings func(obj, old Object) []string
	// GracePeriod decides a graceful delete: it returns the grace in seconds (0 deletes at once). asked is nil when the caller
	// gave none. Nil for kinds that are deleted at once.
	GracePeriod func(obj Object, asked *int64) int64
	// AllowCreateOnUpdate: PUT on a missing name creates it.
	AllowCreateOnUpdate bool
	// AllowUnconditionalUpdate: an update without resourceVersion overwrites.
	AllowUnconditionalUpdate bool
	// ResetFields are the paths that a write to the main resource never changes (normally "status") and that server-side apply
	// must not own. Those of a subresource are with the subresource.
	ResetFields []string
	// ReturnDeleted: a delete answers with the object's last state and not with a Status.
	ReturnDeleted bool
	// OrphanByDefault: a delete that names no propagation policy leaves the dependents.
	OrphanByDefault bool
	// NoGarbageCollection: finalizers for orphaning and foreground deletion are never set on this kind (events).
	NoGarbageCollection bool
}

// Requester is who makes a request.
type Requester struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Scale reads and writes an object's replica count.
type Scale struct {
	Get func(Object) *autoscalingv1.Scale
	// Set changes obj's desired replicas.
	Set func(obj Object, replicas int32)
}

// Table is how kubectl get prints a kind.
type Table struct {
	Columns []metav1.TableColumnDefinition
	// Row returns the cells for the object, as many as there are columns, as seen at now.
	Row func(obj Object, now time.Time) []any
	// Conditions returns the row's conditions, such as Completed for pods that have ended. Nil for most kinds.
	Conditions func(obj Object) []metav1.TableRowCondition
}

// GroupResource returns the resource's identity.
func (r *Resource) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}
}

// GVK returns the kind at the given version.
func (r *Resource) GVK(version string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: version, Kind: r.Kind}
}

// StoredGVK returns the kind at the stored version.
func (r *Resource) StoredGVK() schema.GroupVersionKind { return r.GVK(r.StoredVersion) }

// Version returns the served version of that name.
func (r *Resource) Version(name string) (*Version, bool) {
	for i := range r.Versions {
		if r.Versions[i].Name == name {
			return &r.Versions[i], true
		}
	}
	return nil, false
}

// NewStored returns an empty object of the stored type.
func (r *Resource) NewStored() Object {
	v, ok := r.Version(r.StoredVersion)
	if !ok {
		return nil
	}
	obj, _ := v.New().(Object)
	return obj
}

// Subresource returns the subresource of that name.
func (r *Resource) Subresource(name string) (*Subresource, bool) {
	for i := range r.Subresources {
		if r.Subresources[i].Name == name {
			return &r.Subresources[i], true
		}
	}
	return nil, false
}
