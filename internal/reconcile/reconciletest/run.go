package reconciletest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/reconcile"
)

var rewrite = flag.Bool("rewrite", false, "write the plans that come out into the scenarios")

// Decoder turns the text of an answer into what the controller's port would have returned.
type Decoder func(port string, text []byte) (any, error)

// Run runs every scenario of the folder (files *.txt) as a subtest. decode may be nil for controllers without ports.
func Run(t *testing.T, c reconcile.Controller, folder string, decode Decoder) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in %s (%v)", folder, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { one(t, c, file, decode) })
	}
}

func one(t *testing.T, c reconcile.Controller, file string, decode Decoder) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(archive, decode)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	got, err := s.run(c)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if *rewrite {
		set(archive, "plan", got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(part(archive, "plan"), got); diff != "" {
		t.Errorf("%s: plan (-want +got):\n%s", file, diff)
	}
}

// scenario is a parsed file.
type scenario struct {
	fake    *clientfake.Client
	key     reconcile.Key
	now     time.Time
	seen    map[string]time.Time
	last    reconcile.Outcome
	answers map[reconcile.CallID]reconcile.Answer
}

func parse(a *txtar.Archive, decode Decoder) (*scenario, error) {
	s := &scenario{
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), seen: map[string]time.Time{},
		answers: map[reconcile.CallID]reconcile.Answer{},
	}
	objects, err := Objects(part(a, "objects.yaml"))
	if err != nil {
		return nil, err
	}
	s.fake = clientfake.New(Catalogue(), objects...)
	if len(objects) > 0 {
		s.key = reconcile.KeyOf(objects[0])
	}
	for _, f := range a.Files {
		text := string(f.Data)
		name, rest, _ := strings.Cut(f.Name, " ")
		var err error
		switch name {
		case "objects.yaml", "plan":
		case "key":
			s.key = parseKey(text)
		case "now":
			s.now, err = time.Parse(time.RFC3339, strings.TrimSpace(text))
		case "seen":
			err = s.parseSeen(text)
		case "last.yaml":
			err = s.parseLast(text)
		case "answer":
			err = s.parseAnswer(rest, f.Data, decode)
		default:
			err = fmt.Errorf("no part is called so")
		}
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", f.Name, err)
		}
	}
	return s, nil
}

// Objects reads YAML documents of built-in kinds.
func Objects(text string) ([]api.Object, error) {
	var all []api.Object
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(doc), nil, nil)
		if err != nil {
			return nil, fmt.Errorf("reading object %d: %w", len(all)+1, err)
		}
		obj, ok := decoded.(api.Object)
		if !ok {
			return nil, fmt.Errorf("object %d is a %T", len(all)+1, decoded)
		}
		if obj.GetUID() == "" {
			return nil, fmt.Errorf("object %d, %s, has no metadata.uid", len(all)+1, obj.GetName())
		}
		obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		all = append(all, obj)
	}
	return all, nil
}

func parseKey(text string) reconcile.Key {
	var key reconcile.Key
	fields := strings.Fields(text)
	if len(fields) == 2 {
		key.Resource, fields = schema.ParseGroupResource(fields[0]), fields[1:]
	}
	if len(fields) == 0 {
		return key
	}
	key.Name = fields[0]
	if namespace, name, ok := strings.Cut(fields[0], "/"); ok {
		key.Namespace, key.Name = namespace, name
	}
	return key
}

func (s *scenario) parseSeen(text string) error {
	for line := range strings.Lines(text) {
		name, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		parsed, err := time.Parse(time.RFC3339, strings.TrimSpace(at))
		if err != nil {
			return err
		}
		s.seen[name] = parsed
	}
	return nil
}

func (s *scenario) parseLast(text string) error {
	var writes []struct {
		Verb, Resource, Namespace, Name string
		Code                            int32
		Reason, Message                 string
	}
	if err := yaml.UnmarshalStrict([]byte(text), &writes); err != nil {
		return err
	}
	for _, w := range writes {
		r := reconcile.Result{Write: client.Write{
			Verb: client.Verb(w.Verb), Resource: schema.ParseGroupResource(w.Resource), Namespace: w.Namespace, Name: w.Name,
		}}
		if w.Code != 0 {
			r.Err = &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: w.Code, Reason: metav1.StatusReason(w.Reason), Message: w.Message,
			}}
		}
		s.last.Results = append(s.last.Results, r)
	}
	return nil
}

func (s *scenario) parseAnswer(name string, text []byte, decode Decoder) error {
	port, id, _ := strings.Cut(name, "/")
	if decode == nil {
		return fmt.Errorf("the test has no decoder for answers")
	}
	value, err := decode(port, text)
	if asError, ok := value.(error); ok && err == nil {
		s.answers[reconcile.CallID{Port: port, ID: id}] = reconcile.Answer{Err: asError}
		return nil
	}
	s.answers[reconcile.CallID{Port: port, ID: id}] = reconcile.Answer{Value: value}
	return err
}

// run lets the controller decide and judges and prints its plan.
func (s *scenario) run(c reconcile.Controller) (string, error) {
	v, err := s.view(c)
	if err != nil {
		return "", err
	}
	plan, err := c.Reconcile(v, s.key)
	if refused := v.Refused(); refused != nil {
		return "", refused
	}
	if err != nil {
		return "error: " + err.Error() + "\n", nil
	}
	if err := reconcile.Check(c, plan); err != nil {
		return "", err
	}
	return Print(plan, s.current), nil
}

func (s *scenario) view(c reconcile.Controller) (*reconcile.StaticView, error) {
	snapshots := map[schema.GroupResource]client.Snapshot{}
	var kinds []*api.Resource
	every := false
	take := func(gr schema.GroupResource, in reconcile.Input) error {
		cache, err := s.fake.Cache(client.Selection{
			Resource: gr, Namespace: in.Namespace, LabelSelector: in.LabelSelector, FieldSelector: in.FieldSelector,
			MetadataOnly: in.MetadataOnly || in.Every,
		})
		if err != nil {
			return err
		}
		snapshots[gr] = cache.Snapshot()
		return nil
	}
	for _, in := range c.Inputs() {
		if !in.Every {
			if err := take(in.Resource, in); err != nil {
				return nil, err
			}
			continue
		}
		every = true
		for _, r := range s.fake.Catalogue().Resources() {
			if _, done := snapshots[r.GroupResource()]; done {
				continue
			}
			if err := take(r.GroupResource(), in); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range s.fake.Catalogue().Resources() {
		if _, ok := snapshots[r.GroupResource()]; ok {
			kinds = append(kinds, r)
		}
	}
	return reconcile.NewView(reconcile.ViewConfig{
		Now: s.now, Kinds: kinds, Every: every,
		Dependents: func(uid types.UID) []reconcile.Key { return dependents(snapshots, uid) },
		Snapshot:   func(gr schema.GroupResource) (client.Snapshot, bool) { snap, ok := snapshots[gr]; return snap, ok },
		Seen: func(obj api.Object) (time.Time, bool) {
			at, ok := s.seen[reconcile.KeyOf(obj).String()]
			return at, ok
		},
		Last: map[reconcile.Key]reconcile.Outcome{s.key: s.last}, Answers: s.answers,
	}), nil
}

func dependents(snapshots map[schema.GroupResource]client.Snapshot, uid types.UID) []reconcile.Key {
	var keys []reconcile.Key
	for gr, snapshot := range snapshots {
		for obj := range snapshot.All("") {
			for _, ref := range obj.GetOwnerReferences() {
				if ref.UID == uid {
					keys = append(keys, reconcile.Key{Resource: gr, Namespace: obj.GetNamespace(), Name: obj.GetName()})
				}
			}
		}
	}
	reconcile.SortKeys(keys)
	return keys
}

// current returns the object that a write is about, as it is in the view.
func (s *scenario) current(gr schema.GroupResource, namespace, name string) (api.Object, bool) {
	cache, err := s.fake.Cache(client.Selection{Resource: gr})
	if err != nil {
		return nil, false
	}
	return cache.Snapshot().Get(namespace, name)
}

func part(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func set(a *txtar.Archive, name, text string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}
