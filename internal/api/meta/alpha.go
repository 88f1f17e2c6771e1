package meta

// Fields of alpha features, which are off by default, are dropped on writes unless the object has one of the same feature
// already: then somebody had the feature on, and turning it off must not break the object. Which features are alpha follows the
// feature gates of Kubernetes v1.37.

// Slot is one field of an alpha feature in one object.
type Slot interface {
	// Used tells whether the field is set; Clear empties it.
	Used() bool
	Clear()
}

// AlphaFeature finds the fields of one feature in an object.
type AlphaFeature[T any] func(*T) []Slot

// PointerSlot is a field that is a pointer.
func PointerSlot[T any](at **T) Slot { return pointerSlot[T]{at} }

// ListSlot is a field that is a list.
func ListSlot[T any](at *[]T) Slot { return listSlot[T]{at} }

type pointerSlot[T any] struct{ at **T }

func (s pointerSlot[T]) Used() bool { return *s.at != nil }
func (s pointerSlot[T]) Clear()     { *s.at = nil }

type listSlot[T any] struct{ at *[]T }

func (s listSlot[T]) Used() bool { return len(*s.at) > 0 }
func (s listSlot[T]) Clear()     { *s.at = nil }

// DropAlpha clears the fields of the features that old, which is nil on create, does not use. Parts that obj shares with old
// are not written to.
func DropAlpha[T any](obj, old *T, features ...AlphaFeature[T]) {
	for _, feature := range features {
		if old != nil && used(feature(old)) {
			continue
		}
		for _, s := range feature(obj) {
			if s.Used() {
				s.Clear()
			}
		}
	}
}

func used(slots []Slot) bool {
	for _, s := range slots {
		if s.Used() {
			return true
		}
	}
	return false
}
