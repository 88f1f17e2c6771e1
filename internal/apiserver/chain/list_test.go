package chain

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPlanList(t *testing.T) {
	const prefix = "/registry/pods/ns/"
	token := func(key string, revision int64) string {
		s, err := encodeContinue(prefix+key, prefix, revision)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name string
		opts ListOptions
		want readPlan
		bad  bool
	}{
		{"nothing said", ListOptions{}, readPlan{freshness: consistent}, false},
		{"any", ListOptions{ResourceVersion: "0"}, readPlan{freshness: anyRevision}, false},
		{"number", ListOptions{ResourceVersion: "7"}, readPlan{freshness: notOlder, revision: 7}, false},
		{"number with a limit", ListOptions{ResourceVersion: "7", Limit: 2}, readPlan{freshness: exactly, revision: 7}, false},
		{
			"exact",
			ListOptions{ResourceVersion: "7", ResourceVersionMatch: metav1.ResourceVersionMatchExact},
			readPlan{freshness: exactly, revision: 7},
			false,
		},
		{
			"not older, with a limit",
			ListOptions{ResourceVersion: "7", Limit: 2, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
			readPlan{freshness: notOlder, revision: 7},
			false,
		},
		{"nonsense", ListOptions{ResourceVersion: "x"}, readPlan{}, true},
		{"negative", ListOptions{ResourceVersion: "-1"}, readPlan{}, true},
		{
			"continued",
			ListOptions{Continue: token("a", 9)},
			readPlan{freshness: exactly, revision: 9, from: prefix + "a\x00", continued: true},
			false,
		},
		{
			"continued inconsistently",
			ListOptions{Continue: token("a", -1)},
			readPlan{freshness: consistent, from: prefix + "a\x00", continued: true},
			false,
		},
		{"continued at a version", ListOptions{Continue: token("a", 9), ResourceVersion: "3"}, readPlan{}, true},
		{"continued with nonsense", ListOptions{Continue: "!"}, readPlan{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := planList(c.opts, prefix)
			if c.bad {
				if !apierrors.IsBadRequest(err) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestExpiredContinue(t *testing.T) {
	const prefix = "/registry/pods/"
	err := expiredContinue(prefix+"ns/a\x00", prefix)
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("got %v", err)
	}
	status := err.(apierrors.APIStatus).Status()
	key, revision, decodeErr := decodeContinue(status.Continue, prefix)
	if decodeErr != nil || revision != -1 || key != prefix+"ns/a\x00" {
		t.Errorf("the new token says %q at %d, %v", key, revision, decodeErr)
	}
}

func FuzzContinue(f *testing.F) {
	const prefix = "/registry/pods/"
	good, err := encodeContinue(prefix+"ns/a", prefix, 5)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9zZWNyZXRzLyJ9")
	f.Fuzz(func(t *testing.T, token string) {
		key, revision, err := decodeContinue(token, prefix)
		if err != nil {
			return
		}
		if !strings.HasPrefix(key, prefix) || strings.Contains(key, "/../") || revision == 0 {
			t.Errorf("%q leads to %q at %d", token, key, revision)
		}
	})
}
