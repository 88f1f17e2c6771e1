package image

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"coracle.dev/coracle/internal/node/cri/critest"
)

func TestEnsure(t *testing.T) {
	for _, c := range []struct {
		name, image string
		policy      v1.PullPolicy
		reason      string
		events      []string
		calls       []string
	}{
		{"present", "app:1", v1.PullIfNotPresent, "", []string{"Pulled"}, nil},
		{"present, always pulled", "app:1", v1.PullAlways, "", []string{"Pulling", "Pulled"}, []string{"PullImage app:1"}},
		{"absent", "new:1", v1.PullIfNotPresent, "", []string{"Pulling", "Pulled"}, []string{"PullImage new:1"}},
		{"tag added", "new", v1.PullAlways, "ErrImagePull", []string{"Pulling", "Failed"}, []string{"PullImage new:latest"}},
		{"never", "new:1", v1.PullNever, "ErrImageNeverPull", []string{"ErrImageNeverPull"}, nil},
		{"broken", "broken:1", v1.PullIfNotPresent, "ErrImagePull", []string{"Pulling", "Failed"}, []string{"PullImage broken:1"}},
		{"invalid", "UPPER:::1", v1.PullIfNotPresent, "InvalidImageName", []string{"InspectFailed"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := critest.New(map[string]*critest.Image{
				"app:1": {}, "new:1": {Absent: true}, "broken:1": {Absent: true, PullError: "no route to registry"},
			})
			m := New(runtimeapi.NewImageServiceClient(r.Conn()), false, time.Now)
			var events []string
			_, err := m.Ensure(context.Background(), Request{
				Image: c.image, Policy: c.policy, Event: func(_, reason, _ string) { events = append(events, reason) },
			})
			var f *Failure
			switch {
			case c.reason == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case c.reason != "" && (!errors.As(err, &f) || f.Reason != c.reason):
				t.Errorf("error %v, want reason %s", err, c.reason)
			}
			if !slices.Equal(events, c.events) {
				t.Errorf("events %q, want %q", events, c.events)
			}
			if !slices.Equal(r.Calls(), c.calls) {
				t.Errorf("calls %q, want %q", r.Calls(), c.calls)
			}
		})
	}
}

func TestMatchesRegistry(t *testing.T) {
	for _, c := range []struct {
		key, repository string
		want            bool
	}{
		{"https://index.docker.io/v1/", "docker.io/library/nginx", true},
		{"registry.example.com", "registry.example.com/a/b", true},
		{"registry.example.com/a", "registry.example.com/a/b", true},
		{"registry.example.com/a", "registry.example.com/ab", false},
		{"*.example.com", "registry.example.com/a", true},
		{"*.example.com", "a.b.example.com/a", false},
		{"registry.example.com:5000", "registry.example.com/a", false},
		{"registry.example.com:5000", "registry.example.com:5000/a", true},
		{"other", "registry.example.com/a", false},
	} {
		if got := matchesRegistry(c.key, c.repository); got != c.want {
			t.Errorf("%s for %s: %v, want %v", c.key, c.repository, got, c.want)
		}
	}
}

func TestCredentials(t *testing.T) {
	secret := func(key, value string) *v1.Secret { return &v1.Secret{Data: map[string][]byte{key: []byte(value)}} }
	auths, err := credentials("r.example.com/team/app:1", []*v1.Secret{
		secret(v1.DockerConfigJsonKey,
			`{"auths":{"r.example.com":{"auth":"dTpw"},"r.example.com/team":{"username":"t","password":"q"}}}`),
		secret(v1.DockerConfigKey, `{"elsewhere.com":{"username":"x"}}`),
	})
	if err != nil || len(auths) != 2 {
		t.Fatalf("got %v, %v", auths, err)
	}
	if auths[0].Username != "t" || auths[1].Username != "u" || auths[1].Password != "p" {
		t.Errorf("got %v", auths)
	}
	_, err = credentials("r.example.com/app", []*v1.Secret{secret(v1.DockerConfigJsonKey, `{"auths": hush`)})
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a broken secret must be refused without telling its content: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"a":{"auth":"dTpw"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = credentials("a/b:1", []*v1.Secret{{Data: map[string][]byte{v1.DockerConfigJsonKey: data}}})
	})
}
