package meta

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api"
)

// Entry describes a kind in terms of its Go type T, a pointer such as *corev1.Pod. Fields that are left out take the values
// most kinds have; see Resource.
type Entry[T api.Object] struct {
	// Group and Version name the group-version; Version is also the stored one.
	Group   string
	Version string
	Kind    string
	Plural  string
	// Short and Categories are as discovery shows them.
	Short      []string
	Categories []string
	Namespaced bool
	// Verbs are AllVerbs when nil.
	Verbs []string
	// New makes an empty object, NewList an empty list (nil for kinds that are never listed).
	New     func() T
	NewList func() runtime.Object
	// Path is the folder below /registry/. Empty for kinds that are not stored.
	Path         string
	Subresources []api.Subresource

	Default        func(T)
	PrepareCreate  func(T)
	PrepareUpdate  func(obj, old T)
	PrepareStatus  func(obj, old T)
	Stamp          func(obj, old T, now time.Time)
	SetRequester   func(T, api.Requester)
	Validate       func(T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList
	ValidateStatus func(obj, old T) field.ErrorList
	// Name judges names, DNSSubdomain when nil.
	Name NameRule
	// AnyFinalizer lets finalizers have no domain, as upstream does for some kinds.
	AnyFinalizer bool
	Warnings     func(obj, old T) []string
	GracePeriod  func(obj T, asked *int64) int64

	CreateOnUpdate      bool
	UnconditionalUpdate bool
	ResetFields         []string
	ReturnDeleted       bool
	OrphanByDefault     bool
	NoGarbageCollection bool

	// Columns and Row print the kind; as CreatedTable when nil.
	Columns []metav1.TableColumnDefinition
	Row     func(obj T, now time.Time) []any
	// RowConditions are conditions of a printed row.
	RowConditions func(T) []metav1.TableRowCondition

	// Fields returns selectable fields besides those of the metadata.
	Fields func(T) fields.Set
	// Indexes are indexes besides IndexController.
	Indexes map[string]func(T) []string
	Scale   *api.Scale
}

// Resource builds the catalogue entry. It fills in the singular and list names, all verbs, metadata validation on create,
// update and status, name rules, the controller index, selectable metadata, a plain table, and "status" among the reset
// fields of kinds with a status subresource.
func (e Entry[T]) Resource() *api.Resource {
	r := &api.Resource{
		Group:         e.Group,
		Plural:        e.Plural,
		Singular:      strings.ToLower(e.Kind),
		Kind:          e.Kind,
		ListKind:      e.Kind + "List",
		ShortNames:    e.Short,
		Categories:    e.Categories,
		Namespaced:    e.Namespaced,
		Verbs:         e.Verbs,
		StoredVersion: e.Version,
		StoragePath:   e.Path,
		Subresources:  e.Subresources,
		Scale:         e.Scale,
		Versions: []api.Version{{
			Name:    e.Version,
			New:     func() runtime.Object { return e.New() },
			NewList: e.NewList,
		}},
	}
	if r.Verbs == nil {
		r.Verbs = AllVerbs()
	}
	if e.NewList != nil {
		r.Table = e.table()
		r.SelectableFields = e.selectable()
	}
	if e.Path == "" {
		r.Strategy = api.Strategy{Default: on(e.Default), Validate: on1(e.Validate)}
		return r
	}
	r.Strategy = e.strategy()
	r.Indexes = e.indexes()
	return r
}

func (e Entry[T]) strategy() api.Strategy {
	name := e.Name
	if name == nil {
		name = DNSSubdomain
	}
	s := api.Strategy{
		Default:                  on(e.Default),
		PrepareCreate:            on(e.PrepareCreate),
		PrepareUpdate:            e.prepare(e.PrepareUpdate),
		SetRequester:             nil,
		Validate:                 e.validateCreate(name),
		ValidateUpdate:           e.validateUpdate(e.ValidateUpdate),
		ValidateName:             name,
		AllowCreateOnUpdate:      e.CreateOnUpdate,
		AllowUnconditionalUpdate: e.UnconditionalUpdate,
		ResetFields:              e.ResetFields,
		ReturnDeleted:            e.ReturnDeleted,
		OrphanByDefault:          e.OrphanByDefault,
		NoGarbageCollection:      e.NoGarbageCollection,
	}
	if e.PrepareStatus != nil {
		s.PrepareStatus = e.prepare(e.PrepareStatus)
		s.ValidateStatus = e.validateUpdate(e.ValidateStatus)
		if s.ResetFields == nil {
			s.ResetFields = []string{"status"}
		}
	}
	if e.Stamp != nil {
		s.Stamp = func(obj, old api.Object, now time.Time) {
			var was T
			if old != nil {
				was = old.(T)
			}
			e.Stamp(obj.(T), was, now)
		}
	}
	if e.SetRequester != nil {
		s.SetRequester = func(obj api.Object, who api.Requester) { e.SetRequester(obj.(T), who) }
	}
	if e.Warnings != nil {
		s.Warnings = func(obj, old api.Object) []string {
			var was T
			if old != nil {
				was = old.(T)
			}
			return e.Warnings(obj.(T), was)
		}
	}
	if e.GracePeriod != nil {
		s.GracePeriod = func(obj api.Object, asked *int64) int64 { return e.GracePeriod(obj.(T), asked) }
	}
	return s
}

// prepare wraps an update function: whatever the kind does, a client cannot choose the generation.
func (e Entry[T]) prepare(f func(obj, old T)) func(obj, old api.Object) {
	return Update(f)
}

// Update turns a typed prepare function into one on api.Object that first puts the old generation back, since clients cannot
// choose it.
func Update[T api.Object](f func(obj, old T)) func(obj, old api.Object) {
	return func(obj, old api.Object) {
		obj.SetGeneration(old.GetGeneration())
		if f != nil {
			f(obj.(T), old.(T))
		}
	}
}

func (e Entry[T]) validateCreate(name NameRule) func(api.Object) field.ErrorList {
	return func(obj api.Object) field.ErrorList {
		errs := ValidateObjectMeta(obj, e.Namespaced, name)
		if !e.AnyFinalizer {
			errs = append(errs, ValidateFinalizers(obj)...)
		}
		if e.Validate != nil {
			errs = append(errs, e.Validate(obj.(T))...)
		}
		return errs
	}
}

func (e Entry[T]) validateUpdate(f func(obj, old T) field.ErrorList) func(obj, old api.Object) field.ErrorList {
	return validateUpdate(e.Namespaced, e.AnyFinalizer, f)
}

// ValidateUpdate turns a typed function that judges an update into one on api.Object that judges the metadata as well.
func ValidateUpdate[T api.Object](namespaced bool, f func(obj, old T) field.ErrorList) func(obj, old api.Object) field.ErrorList {
	return validateUpdate(namespaced, false, f)
}

func validateUpdate[T api.Object](
	namespaced, anyFinalizer bool, f func(obj, old T) field.ErrorList,
) func(obj, old api.Object) field.ErrorList {
	return func(obj, old api.Object) field.ErrorList {
		errs := ValidateObjectMetaUpdate(obj, old, namespaced)
		if !anyFinalizer {
			errs = append(errs, ValidateFinalizers(obj)...)
		}
		if f != nil {
			errs = append(errs, f(obj.(T), old.(T))...)
		}
		return errs
	}
}

func (e Entry[T]) table() api.Table {
	if e.Columns == nil {
		return CreatedTable()
	}
	return api.Table{
		Columns:    e.Columns,
		Row:        func(obj api.Object, now time.Time) []any { return e.Row(obj.(T), now) },
		Conditions: on1(e.RowConditions),
	}
}

func (e Entry[T]) selectable() func(api.Object) fields.Set {
	return func(obj api.Object) fields.Set {
		var set fields.Set
		if e.Fields != nil {
			set = e.Fields(obj.(T))
		} else {
			set = make(fields.Set, 2)
		}
		set["metadata.name"] = obj.GetName()
		if e.Namespaced {
			set["metadata.namespace"] = obj.GetNamespace()
		}
		return set
	}
}

func (e Entry[T]) indexes() map[string]func(api.Object) []string {
	all := map[string]func(api.Object) []string{api.IndexController: ControllerUID}
	for name, f := range e.Indexes {
		all[name] = func(obj api.Object) []string { return f(obj.(T)) }
	}
	return all
}

// ControllerUID is the function behind api.IndexController: the UID of the owner that controls the object, if there is one.
func ControllerUID(obj api.Object) []string {
	if owner := metav1.GetControllerOfNoCopy(obj); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

// Pointer is a pointer to T that is an API object.
type Pointer[T any] interface {
	*T
	runtime.Object
}

// New returns a new, empty T; it is meant for Entry.New.
func New[T any]() *T { return new(T) }

// Empty returns a new, empty object; it is meant for Entry.NewList and Subresource.New.
func Empty[T any, P Pointer[T]]() runtime.Object { return P(new(T)) }

func on[T api.Object](f func(T)) func(api.Object) {
	if f == nil {
		return nil
	}
	return func(obj api.Object) { f(obj.(T)) }
}

func on1[T api.Object, R any](f func(T) R) func(api.Object) R {
	if f == nil {
		return nil
	}
	return func(obj api.Object) R { return f(obj.(T)) }
}

// GVK returns a kind of the entry's group-version.
func (e Entry[T]) GVK(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: kind}
}
