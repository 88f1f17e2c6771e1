package remote

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
)

func indexed() *api.Resource {
	return &api.Resource{Indexes: map[string]func(api.Object) []string{
		"color": func(obj api.Object) []string {
			if c := obj.GetLabels()["color"]; c != "" {
				return []string{c}
			}
			return nil
		},
	}}
}

// TestImage compares an image with a plain map, and checks that what was published never changes.
func TestImage(t *testing.T) {
	res := indexed()
	rapid.Check(t, func(t *rapid.T) {
		now := newImage()
		want := map[string]*corev1.ConfigMap{}
		var published []*image
		var contents []string
		version := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.edit()
			for range rapid.IntRange(1, 5).Draw(t, "changes") {
				ns := rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(t, "ns")
				name := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name")
				if rapid.Bool().Draw(t, "remove") {
					_, had := now.remove(res, ns, name)
					if _, there := want[ns+"/"+name]; had != there {
						t.Fatalf("removed %s/%s: %v, was there: %v", ns, name, had, there)
					}
					delete(want, ns+"/"+name)
					continue
				}
				version++
				obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
					Namespace: ns, Name: name, ResourceVersion: fmt.Sprint(version),
					Labels: map[string]string{"color": rapid.SampledFrom([]string{"", "red", "blue"}).Draw(t, "color")},
				}}
				now.set(res, obj)
				want[ns+"/"+name] = obj
			}
			compare(t, now, want)
			published = append(published, now)
			contents = append(contents, print(now))
		}
		for i, m := range published {
			if got := print(m); got != contents[i] {
				t.Fatalf("state %d changed from\n%s to\n%s", i, contents[i], got)
			}
		}
		i, j := rapid.IntRange(0, len(published)-1).Draw(t, "from"), rapid.IntRange(0, len(published)-1).Draw(t, "to")
		replay(t, published[min(i, j)], published[max(i, j)])
	})
}

func compare(t *rapid.T, m *image, want map[string]*corev1.ConfigMap) {
	if m.Len() != len(want) {
		t.Fatalf("%d objects, want %d", m.Len(), len(want))
	}
	colors := map[string]int{}
	for key, obj := range want {
		got, ok := m.Get(obj.Namespace, obj.Name)
		if !ok || got != obj {
			t.Fatalf("%s is %v", key, got)
		}
		colors[obj.Labels["color"]]++
	}
	for _, color := range []string{"red", "blue"} {
		n := 0
		for obj := range m.Index("color", color) {
			if obj.GetLabels()["color"] != color {
				t.Fatalf("%s is not %s", obj.GetName(), color)
			}
			n++
		}
		if n != colors[color] {
			t.Fatalf("%d objects are %s, want %d", n, color, colors[color])
		}
	}
	in := 0
	for obj := range m.All("a") {
		if obj.GetNamespace() != "a" {
			t.Fatalf("%s/%s is in a", obj.GetNamespace(), obj.GetName())
		}
		in++
	}
	for _, obj := range want {
		if obj.Namespace == "a" {
			in--
		}
	}
	if in != 0 {
		t.Fatalf("%d too many objects in a", in)
	}
}

func print(m *image) string {
	var out []string
	for obj := range m.All("") {
		out = append(out, obj.GetNamespace()+"/"+obj.GetName()+"@"+obj.GetResourceVersion())
	}
	return fmt.Sprint(out)
}

// replay applies the difference of two states to the first and must come to the second.
func replay(t *rapid.T, old, now *image) {
	have := map[string]string{}
	for obj := range old.All("") {
		have[obj.GetNamespace()+"/"+obj.GetName()] = obj.GetResourceVersion()
	}
	for _, ev := range diff(old, now) {
		key := ev.Object.GetNamespace() + "/" + ev.Object.GetName()
		if _, had := have[key]; had == (ev.Type == client.Added) {
			t.Fatalf("event %d of %s, which was there: %v", ev.Type, key, had)
		}
		if ev.Type == client.Deleted {
			delete(have, key)
		} else {
			have[key] = ev.Object.GetResourceVersion()
		}
	}
	var got []string
	for key, version := range have {
		got = append(got, key+"@"+version)
	}
	var want []string
	for obj := range now.All("") {
		want = append(want, obj.GetNamespace()+"/"+obj.GetName()+"@"+obj.GetResourceVersion())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("came to %v, want %v", got, want)
	}
}
