package clientfake

import (
	"fmt"
	"reflect"

	"coracle.dev/coracle/internal/api"
)

// freshLike returns an empty object of the same Go type.
func freshLike(like api.Object) (api.Object, error) {
	t := reflect.TypeOf(like)
	if t.Kind() != reflect.Pointer {
		return nil, fmt.Errorf("%T is not a pointer", like)
	}
	return reflect.New(t.Elem()).Interface().(api.Object), nil
}
