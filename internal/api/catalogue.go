package api

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Catalogue is an immutable set of resources and the scheme that knows their Go types. With returns a changed copy, which is
// how custom resources come and go. Safe for concurrent use.
type Catalogue struct {
	scheme      *runtime.Scheme
	list        []*Resource
	byResource  map[schema.GroupResource]*Resource
	byKind      map[schema.GroupKind]*Resource
	groupsOrder []string
}

// NewCatalogue makes a catalogue of the given resources in the given order. The scheme must know every type they name and
// must not change any more.
func NewCatalogue(scheme *runtime.Scheme, resources []*Resource) (*Catalogue, error) {
	c := &Catalogue{
		scheme:     scheme,
		byResource: make(map[schema.GroupResource]*Resource, len(resources)),
		byKind:     make(map[schema.GroupKind]*Resource, len(resources)),
	}
	groups := map[string]bool{}
	for _, r := range resources {
		gr := r.GroupResource()
		if _, dup := c.byResource[gr]; dup {
			return nil, fmt.Errorf("resource %s is in the catalogue twice", gr)
		}
		c.byResource[gr] = r
		c.byKind[schema.GroupKind{Group: r.Group, Kind: r.Kind}] = r
		c.list = append(c.list, r)
		if !groups[r.Group] {
			groups[r.Group] = true
			c.groupsOrder = append(c.groupsOrder, r.Group)
		}
	}
	return c, nil
}

// With returns a catalogue with the resources of c and those given, which replace entries of the same name.
func (c *Catalogue) With(resources ...*Resource) (*Catalogue, error) {
	replaced := map[schema.GroupResource]bool{}
	for _, r := range resources {
		replaced[r.GroupResource()] = true
	}
	var all []*Resource
	for _, r := range c.list {
		if !replaced[r.GroupResource()] {
			all = append(all, r)
		}
	}
	return NewCatalogue(c.scheme, append(all, resources...))
}

// Scheme returns the scheme of all Go types. It is shared and must not be changed.
func (c *Catalogue) Scheme() *runtime.Scheme { return c.scheme }

// Resources returns every entry in order. The slice is shared and must not be changed.
func (c *Catalogue) Resources() []*Resource { return c.list }

// Groups returns the API groups in the order in which discovery lists them.
func (c *Catalogue) Groups() []string { return c.groupsOrder }

// Resource looks an entry up by group and plural name.
func (c *Catalogue) Resource(gr schema.GroupResource) (*Resource, bool) {
	r, ok := c.byResource[gr]
	return r, ok
}

// ForKind looks an entry up by group and kind.
func (c *Catalogue) ForKind(gk schema.GroupKind) (*Resource, bool) {
	r, ok := c.byKind[gk]
	return r, ok
}

// ForObject looks an entry up by an object's Go type.
func (c *Catalogue) ForObject(obj runtime.Object) (*Resource, bool) {
	gvks, _, err := c.scheme.ObjectKinds(obj)
	if err != nil || len(gvks) == 0 {
		gvk := obj.GetObjectKind().GroupVersionKind()
		return c.ForKind(gvk.GroupKind())
	}
	return c.ForKind(gvks[0].GroupKind())
}
