package clienttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
)

// Make returns a client of an empty server that lives until the test ends.
type Make func(t *testing.T) client.Interface

// patience bounds a wait that a broken implementation would not end.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, makeClient Make) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"write and read", (*suite).writeAndRead},
		{"refusals", (*suite).refusals},
		{"pages", (*suite).pages},
		{"dry run", (*suite).dryRun},
		{"apply", (*suite).apply},
		{"events of another version", (*suite).otherVersion},
		{"cache", (*suite).cache},
		{"selection", (*suite).selection},
		{"metadata only", (*suite).metadataOnly},
		{"index", (*suite).index},
		{"follow", (*suite).follow},
		{"slow follower", (*suite).slowFollower},
		{"deletecollection", (*suite).deleteCollection},
		{"raw", (*suite).raw},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			test.run(&suite{T: t, ctx: ctx, c: makeClient(t)})
		})
	}
}

type suite struct {
	*testing.T
	ctx context.Context //nolint:containedctx // of one test
	c   client.Interface
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: labels}, Data: map[string]string{"k": "v"},
	}
}

func (s *suite) write(w client.Write) api.Object {
	s.Helper()
	out, err := s.c.Write(s.ctx, w)
	if err != nil {
		s.Fatalf("%s %s: %v", w.Verb, w.Resource, err)
	}
	obj, _ := out.(api.Object)
	return obj
}

func (s *suite) create(obj api.Object) *corev1.ConfigMap {
	s.Helper()
	return s.write(client.Write{Verb: client.Create, Resource: kinds.ConfigMaps(), Object: obj}).(*corev1.ConfigMap)
}

func (s *suite) update(obj api.Object) *corev1.ConfigMap {
	s.Helper()
	return s.write(client.Write{Verb: client.Update, Resource: kinds.ConfigMaps(), Object: obj}).(*corev1.ConfigMap)
}

func (s *suite) remove(name string) {
	s.Helper()
	s.write(client.Write{Verb: client.Delete, Resource: kinds.ConfigMaps(), Namespace: "default", Name: name})
}

func (s *suite) writeAndRead() {
	given := configMap("a", nil)
	made := s.create(given)
	if given.ResourceVersion != "" || given.UID != "" {
		s.Errorf("the object handed in was changed: %+v", given.ObjectMeta)
	}
	got, err := client.Get[*corev1.ConfigMap](s.ctx, s.c, kinds.ConfigMaps(), "default", "a")
	if err != nil {
		s.Fatalf("get: %v", err)
	}
	if got.UID != made.UID || got.ResourceVersion != made.ResourceVersion || got.Data["k"] != "v" {
		s.Errorf("read %+v, wrote %+v", got, made)
	}
	if got.Kind != "ConfigMap" || got.APIVersion != "v1" {
		s.Errorf("the object does not name its kind: %+v", got.TypeMeta)
	}
	next := got.DeepCopy()
	next.Data["k"] = "w"
	s.update(next)
	patched := s.write(client.Write{
		Verb: client.Patch, Resource: kinds.ConfigMaps(), Namespace: "default", Name: "a",
		PatchType: types.MergePatchType, PatchData: []byte(`{"data":{"more":"x"}}`),
	}).(*corev1.ConfigMap)
	if patched.Data["k"] != "w" || patched.Data["more"] != "x" {
		s.Errorf("patched to %v", patched.Data)
	}
	s.remove("a")
	if _, err := s.c.Get(s.ctx, kinds.ConfigMaps(), "default", "a"); !apierrors.IsNotFound(err) {
		s.Errorf("get after delete: %v", err)
	}
}

func (s *suite) refusals() {
	made := s.create(configMap("a", nil))
	stale := made.DeepCopy()
	next := made.DeepCopy()
	next.Data = map[string]string{"k": "2"}
	s.update(next)
	stale.Data = map[string]string{"k": "3"}
	uid := types.UID("other")
	for _, c := range []struct {
		name  string
		write client.Write
		is    func(error) bool
	}{
		{"create twice", client.Write{Verb: client.Create, Object: configMap("a", nil)}, apierrors.IsAlreadyExists},
		{"stale update", client.Write{Verb: client.Update, Object: stale}, apierrors.IsConflict},
		{"bad name", client.Write{Verb: client.Create, Object: configMap("Not Good", nil)}, apierrors.IsInvalid},
		{"missing", client.Write{Verb: client.Delete, Namespace: "default", Name: "none"}, apierrors.IsNotFound},
		{
			"other uid", client.Write{
				Verb: client.Delete, Namespace: "default", Name: "a",
				Delete: metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
			}, apierrors.IsConflict,
		},
	} {
		c.write.Resource = kinds.ConfigMaps()
		if _, err := s.c.Write(s.ctx, c.write); !c.is(err) {
			s.Errorf("%s: %v", c.name, err)
		}
	}
}

func (s *suite) pages() {
	for i := range 7 {
		s.create(configMap(fmt.Sprintf("p%d", i), nil))
	}
	var names []string
	token := ""
	for {
		list, err := s.c.List(s.ctx, kinds.ConfigMaps(), client.ListOptions{Namespace: "default", Limit: 3, Continue: token})
		if err != nil {
			s.Fatalf("list: %v", err)
		}
		for _, obj := range list.Items {
			names = append(names, obj.GetName())
		}
		if token = list.Continue; token == "" {
			break
		}
	}
	if want := "p0 p1 p2 p3 p4 p5 p6"; strings.Join(names, " ") != want {
		s.Errorf("listed %v", names)
	}
}

func (s *suite) dryRun() {
	out := s.write(client.Write{Verb: client.Create, Resource: kinds.ConfigMaps(), Object: configMap("a", nil), DryRun: true})
	if out.GetUID() == "" {
		s.Error("a dry run returned an object without UID")
	}
	if _, err := s.c.Get(s.ctx, kinds.ConfigMaps(), "default", "a"); !apierrors.IsNotFound(err) {
		s.Errorf("a dry run left something: %v", err)
	}
}

func (s *suite) apply() {
	apply := func(manager, value string, force bool) error {
		_, err := s.c.Write(s.ctx, client.Write{
			Verb: client.Patch, Resource: kinds.ConfigMaps(), Namespace: "default", Name: "a", PatchType: types.ApplyPatchType,
			PatchData:    []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"` + value + `"}}`),
			FieldManager: manager, Force: force,
		})
		return err
	}
	if err := apply("one", "1", false); err != nil {
		s.Fatalf("apply that creates: %v", err)
	}
	if err := apply("two", "2", false); !apierrors.IsConflict(err) {
		s.Errorf("apply over another's field: %v", err)
	}
	if err := apply("two", "2", true); err != nil {
		s.Errorf("forced apply: %v", err)
	}
	got, err := client.Get[*corev1.ConfigMap](s.ctx, s.c, kinds.ConfigMaps(), "default", "a")
	if err != nil || got.Data["k"] != "2" {
		s.Errorf("got %v %v", got, err)
	}
}

// otherVersion writes a kind whose storage is that of another group.
func (s *suite) otherVersion() {
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: "e", Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "p"},
		Reason:         "Tested", Message: "hello", Type: "Normal",
	}
	s.write(client.Write{Verb: client.Create, Resource: kinds.Events(), Object: event})
	got, err := s.c.Get(s.ctx, kinds.Events(), "default", "e")
	if err != nil || got.(*corev1.Event).Message != "hello" {
		s.Errorf("got %v %v", got, err)
	}
}

func (s *suite) open(sel client.Selection) client.Cache {
	s.Helper()
	cache, err := s.c.Cache(sel)
	if err != nil {
		s.Fatalf("cache: %v", err)
	}
	if err := cache.Sync(s.ctx); err != nil {
		s.Fatalf("sync: %v", err)
	}
	return cache
}

func names(snap client.Snapshot) []string {
	var out []string
	for obj := range snap.All("") {
		out = append(out, obj.GetName())
	}
	return out
}

func (s *suite) cache() {
	s.create(configMap("a", nil))
	cache := s.open(client.Selection{Resource: kinds.ConfigMaps()})
	if got := names(cache.Snapshot()); !slices.Equal(got, []string{"a"}) {
		s.Errorf("after Sync: %v", got)
	}
	made := s.create(configMap("b", nil))
	var revision int64
	if _, err := fmt.Sscan(made.ResourceVersion, &revision); err != nil {
		s.Fatal(err)
	}
	if err := cache.WaitFor(s.ctx, revision); err != nil {
		s.Fatalf("wait: %v", err)
	}
	snap := cache.Snapshot()
	if snap.Len() != 2 || snap.Revision() < revision {
		s.Errorf("%d objects at %d, wrote at %d", snap.Len(), snap.Revision(), revision)
	}
	s.remove("a")
	if err := cache.Sync(s.ctx); err != nil {
		s.Fatalf("sync: %v", err)
	}
	if got := names(cache.Snapshot()); !slices.Equal(got, []string{"b"}) {
		s.Errorf("after delete: %v", got)
	}
	if got := names(snap); !slices.Equal(got, []string{"a", "b"}) {
		s.Errorf("an old snapshot changed to %v", got)
	}
	if _, ok := cache.Snapshot().Get("default", "b"); !ok {
		s.Error("b can't be found by name")
	}
	if _, ok := cache.Snapshot().Get("other", "b"); ok {
		s.Error("b was found in another namespace")
	}
}

func (s *suite) selection() {
	cache := s.open(client.Selection{Resource: kinds.ConfigMaps(), Namespace: "default", LabelSelector: "in=yes"})
	cm := s.create(configMap("a", map[string]string{"in": "yes"}))
	s.create(configMap("b", map[string]string{"in": "no"}))
	if err := cache.Sync(s.ctx); err != nil {
		s.Fatalf("sync: %v", err)
	}
	if got := names(cache.Snapshot()); !slices.Equal(got, []string{"a"}) {
		s.Errorf("selected %v", got)
	}
	out := cm.DeepCopy()
	out.Labels["in"] = "no"
	s.update(out)
	if err := cache.Sync(s.ctx); err != nil {
		s.Fatalf("sync: %v", err)
	}
	if cache.Snapshot().Len() != 0 {
		s.Errorf("still selected: %v", names(cache.Snapshot()))
	}
}

func (s *suite) metadataOnly() {
	made := s.create(configMap("a", map[string]string{"x": "y"}))
	cache := s.open(client.Selection{Resource: kinds.ConfigMaps(), MetadataOnly: true})
	obj, ok := cache.Snapshot().Get("default", "a")
	if !ok {
		s.Fatal("not found")
	}
	p, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		s.Fatalf("got a %T", obj)
	}
	if p.UID != made.UID || p.Labels["x"] != "y" || p.ResourceVersion != made.ResourceVersion {
		s.Errorf("got %+v", p)
	}
}

func (s *suite) index() {
	pod := func(name, node string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
	}
	for _, p := range []*corev1.Pod{pod("a", "n1"), pod("b", "n2"), pod("c", "n1"), pod("d", "")} {
		s.write(client.Write{Verb: client.Create, Resource: kinds.Pods(), Object: p})
	}
	for _, sel := range []client.Selection{{Resource: kinds.Pods()}, {Resource: kinds.Pods(), FieldSelector: "spec.nodeName=n1"}} {
		cache := s.open(sel)
		var got []string
		for obj := range cache.Snapshot().Index(api.IndexNode, "n1") {
			got = append(got, obj.GetName())
		}
		if !slices.Equal(got, []string{"a", "c"}) {
			s.Errorf("on n1 by %+v: %v", sel, got)
		}
	}
}

func (s *suite) follow() {
	s.create(configMap("a", nil))
	cache := s.open(client.Selection{Resource: kinds.ConfigMaps()})
	snap, stream := cache.Follow()
	defer stream.Close()
	if got := names(snap); !slices.Equal(got, []string{"a"}) {
		s.Fatalf("begins with %v", got)
	}
	b := s.create(configMap("b", nil))
	next := b.DeepCopy()
	next.Data = map[string]string{"k": "2"}
	s.update(next)
	s.remove("a")
	state := map[string]string{"a": "v"}
	want := map[string]string{"b": "2"}
	for !mapsEqual(state, want) {
		events, err := stream.Next(s.ctx)
		if err != nil {
			s.Fatalf("next: %v (state %v)", err, state)
		}
		for _, ev := range events {
			s.applyEvent(state, ev)
		}
	}
}

// applyEvent keeps a state by events, and checks that each fits what is known.
func (s *suite) applyEvent(state map[string]string, ev client.Event) {
	s.Helper()
	name := ev.Object.GetName()
	_, had := state[name]
	switch ev.Type {
	case client.Added:
		if had || ev.Old != nil {
			s.Errorf("added %s, which was there", name)
		}
		state[name] = ev.Object.(*corev1.ConfigMap).Data["k"]
	case client.Modified:
		if !had || ev.Old == nil {
			s.Errorf("modified %s, which was not there", name)
		}
		state[name] = ev.Object.(*corev1.ConfigMap).Data["k"]
	case client.Deleted:
		if !had || ev.Old == nil {
			s.Errorf("deleted %s, which was not there", name)
		}
		delete(state, name)
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// slowFollower reads nothing while much happens; afterwards it must come to the same state.
func (s *suite) slowFollower() {
	cache := s.open(client.Selection{Resource: kinds.ConfigMaps()})
	_, stream := cache.Follow()
	defer stream.Close()
	for i := range 60 {
		for j := range 10 {
			name := fmt.Sprintf("o%d", j)
			if i%2 == 0 {
				cm := configMap(name, nil)
				cm.Data["k"] = fmt.Sprint(i)
				s.create(cm)
			} else if i < 59 || j%2 == 0 {
				s.remove(name)
			}
		}
	}
	want := map[string]string{"o1": "58", "o3": "58", "o5": "58", "o7": "58", "o9": "58"}
	state := map[string]string{}
	for !mapsEqual(state, want) {
		events, err := stream.Next(s.ctx)
		if err != nil {
			s.Fatalf("next: %v (state %v)", err, state)
		}
		for _, ev := range events {
			s.applyEvent(state, ev)
		}
	}
}

func (s *suite) deleteCollection() {
	for i := range 5 {
		s.create(configMap(fmt.Sprintf("c%d", i), map[string]string{"odd": fmt.Sprint(i % 2)}))
	}
	s.write(client.Write{
		Verb: client.DeleteCollection, Resource: kinds.ConfigMaps(), Namespace: "default",
		Selector: client.ListOptions{LabelSelector: "odd=1"},
	})
	list, err := s.c.List(s.ctx, kinds.ConfigMaps(), client.ListOptions{Namespace: "default"})
	if err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, obj := range list.Items {
		got = append(got, obj.GetName())
	}
	if !slices.Equal(got, []string{"c0", "c2", "c4"}) {
		s.Errorf("left %v", got)
	}
}

func (s *suite) raw() {
	resp, err := s.c.Raw(s.ctx, "GET", "/healthz", nil, nil)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		s.Errorf("/healthz: %d", resp.StatusCode)
	}
}
