package storetest

import (
	"testing"

	"coracle.dev/coracle/internal/store"
)

func TestOpen(t *testing.T) {
	s := Open(t)
	revision, err := s.Commit(t.Context(), store.Op{Kind: store.OpCreate, Key: "/registry/pods/x", Value: []byte("1")})
	if err != nil || s.Revision() < revision {
		t.Errorf("committed at %d, store is at %d: %v", revision, s.Revision(), err)
	}
}
