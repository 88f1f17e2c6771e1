package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/client/clientfake"
	"coracle.dev/coracle/internal/reconcile"
	"coracle.dev/coracle/internal/reconcile/reconciletest"
)

var (
	configMaps = schema.GroupResource{Resource: "configmaps"}
	secrets    = schema.GroupResource{Resource: "secrets"}
)

// toy makes one secret for each config map, by generated name: a second one shows that it acted twice.
type toy struct {
	runs    atomic.Int64
	decide  func(v reconcile.View, key reconcile.Key) (reconcile.Plan, error)
	outputs []reconcile.Output
	ports   map[string]reconcile.Port
}

func (*toy) Name() string { return "toy" }

func (c *toy) Ports() map[string]reconcile.Port { return c.ports }

func (*toy) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: configMaps, Keys: reconcile.Self},
		{Resource: secrets, Keys: func(_ reconcile.View, obj api.Object) []reconcile.Key {
			return []reconcile.Key{{Namespace: obj.GetNamespace(), Name: obj.GetLabels()["for"]}}
		}},
	}
}

func (c *toy) Outputs() []reconcile.Output {
	if c.outputs != nil {
		return c.outputs
	}
	return []reconcile.Output{{Resource: secrets, Verbs: []client.Verb{client.Create, client.Delete}}}
}

func (c *toy) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	c.runs.Add(1)
	if c.decide != nil {
		return c.decide(v, key)
	}
	var p reconcile.Plan
	if _, ok := v.Get(configMaps, key.Namespace, key.Name); !ok {
		return p, nil
	}
	for s := range v.All(secrets, key.Namespace) {
		if s.GetLabels()["for"] == key.Name {
			return p, nil
		}
	}
	p.Add(reconcile.Creating(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, GenerateName: key.Name + "-", Labels: map[string]string{"for": key.Name},
	}}))
	return p, nil
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func count(fake *clientfake.Client, gr schema.GroupResource) int {
	list, err := fake.List(context.Background(), gr, client.ListOptions{})
	if err != nil {
		panic(err)
	}
	return len(list.Items)
}

// start runs an engine and returns what stops it.
func start(t *testing.T, fake client.Interface, election *reconcile.Election, controllers ...reconcile.Controller) func() {
	t.Helper()
	e, err := reconcile.New(reconcile.Config{
		Client: func(string) client.Interface { return fake }, Rand: func() float64 { return 0 }, Election: election,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, controllers...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestRule1WaitsForItsOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue())
		defer start(t, fake, nil, &toy{})()
		synctest.Wait()
		fake.Pause(secrets)
		fake.Load(configMap("a"))
		synctest.Wait()
		changed := configMap("a")
		changed.Labels = map[string]string{"changed": "yes"}
		fake.Load(changed) // wakes the key while its view does not show the secret
		synctest.Wait()
		if n := count(fake, secrets); n != 1 {
			t.Errorf("made %d secrets, want 1", n)
		}
		fake.Resume(secrets)
		synctest.Wait()
		if n := count(fake, secrets); n != 1 {
			t.Errorf("after the view caught up: %d secrets, want 1", n)
		}
	})
}

func TestRule1AmbiguousWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue())
		broken := true
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Verb != client.Create || !broken {
				return nil, false, nil
			}
			broken = false // performed, but the answer is lost
			if _, err := fake.Write(context.Background(), w); err != nil {
				return nil, true, err
			}
			return nil, true, errors.New("connection reset by peer")
		})
		defer start(t, fake, nil, &toy{})()
		synctest.Wait()
		fake.Pause(secrets)
		fake.Load(configMap("a"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := count(fake, secrets); n != 1 {
			t.Errorf("made %d secrets before a consistent read, want 1", n)
		}
		fake.Resume(secrets)
		time.Sleep(time.Hour)
		if n := count(fake, secrets); n != 1 {
			t.Errorf("made %d secrets after a consistent read, want 1", n)
		}
	})
}

func TestRule1Delete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		deletes := 0
		c := &toy{decide: func(v reconcile.View, key reconcile.Key) (p reconcile.Plan, err error) {
			for s := range v.All(secrets, key.Namespace) {
				deletes++
				p.Add(reconcile.Deleting(secrets, s))
			}
			return p, nil
		}}
		defer start(t, fake, nil, c)()
		synctest.Wait()
		fake.Load(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s", UID: "s-1", Labels: map[string]string{"for": "a"}}})
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Verb == client.Delete {
				fake.Pause(secrets) // the view keeps showing the secret
			}
			return nil, false, nil
		})
		synctest.Wait()
		fake.Load(configMap("a"))
		synctest.Wait()
		if deletes != 1 {
			t.Errorf("planned %d deletes while the first did not show, want 1", deletes)
		}
		fake.Resume(secrets)
		before := c.runs.Load()
		synctest.Wait()
		if c.runs.Load() == before {
			t.Error("the key did not run again when the deletion showed")
		}
	})
}

func TestRule2WaitsForAConsistentRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		fake.Pause(secrets)
		fake.Load(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a-1", Labels: map[string]string{"for": "a"}}})
		c := &toy{}
		defer start(t, fake, nil, c)()
		synctest.Wait()
		if c.runs.Load() != 0 {
			t.Errorf("ran %d times on a view from before the start", c.runs.Load())
		}
		fake.Resume(secrets)
		synctest.Wait()
		if c.runs.Load() == 0 || count(fake, secrets) != 1 {
			t.Errorf("%d runs, %d secrets; want some and 1", c.runs.Load(), count(fake, secrets))
		}
	})
}

func TestRefusesWhatIsNotDeclared(t *testing.T) {
	nodes := schema.GroupResource{Resource: "nodes"}
	for name, decide := range map[string]func(reconcile.View, reconcile.Key) (reconcile.Plan, error){
		"read": func(v reconcile.View, key reconcile.Key) (p reconcile.Plan, err error) {
			v.Get(nodes, "", "n")
			p.Add(reconcile.Creating(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}))
			return p, nil
		},
		"kind": func(reconcile.View, reconcile.Key) (p reconcile.Plan, err error) {
			p.Add(reconcile.Creating(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}))
			return p, nil
		},
		"verb": func(reconcile.View, reconcile.Key) (p reconcile.Plan, err error) {
			p.Add(reconcile.Updating(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}))
			return p, nil
		},
		"port": func(reconcile.View, reconcile.Key) (p reconcile.Plan, err error) {
			return reconcile.Plan{Calls: []reconcile.Call{{Port: "nowhere"}}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
				stop := start(t, fake, nil, &toy{decide: decide})
				synctest.Wait()
				stop()
				if writes := fake.Writes(); len(writes) != 0 {
					t.Errorf("performed %v", writes)
				}
			})
		})
	}
}

func TestPanicIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("bad"), configMap("good"))
		c := &toy{}
		c.decide = func(_ reconcile.View, key reconcile.Key) (p reconcile.Plan, err error) {
			if key.Name == "bad" {
				panic("odd object")
			}
			p.Add(reconcile.Creating(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: key.Name}}))
			return p, nil
		}
		defer start(t, fake, nil, c)()
		synctest.Wait()
		if count(fake, secrets) != 1 {
			t.Error("one key's panic kept another from running")
		}
	})
}

func TestFailureStopsThePlanAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if w.Name == "second" {
				return nil, true, apierrors.NewForbidden(secrets, w.Name, errors.New("quota"))
			}
			return nil, false, nil
		})
		var seen []string
		c := &toy{decide: func(v reconcile.View, key reconcile.Key) (p reconcile.Plan, err error) {
			if err := v.Last(key).Failed(client.Create, secrets); err != nil {
				seen = append(seen, string(apierrors.ReasonForError(err)))
				return p, nil
			}
			if key.Name != "a" {
				return p, nil
			}
			for _, name := range []string{"first", "second", "third"} {
				w := reconcile.Creating(secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
				w.Done = &reconcile.Event{Regarding: corev1.ObjectReference{Kind: "ConfigMap", Namespace: "default", Name: "a"}, Reason: "Made", Message: "Made {name}"}
				w.Failed = &reconcile.Event{Regarding: w.Done.Regarding, Reason: "Refused", Message: "No {name}: {error}"}
				p.Add(w)
			}
			return p, nil
		}}
		defer start(t, fake, nil, c)()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(seen, " "); got != "Forbidden" {
			t.Errorf("the next view saw failures %q, want one Forbidden", got)
		}
		var names []string
		list, _ := fake.List(context.Background(), schema.GroupResource{Resource: "events"}, client.ListOptions{})
		for _, obj := range list.Items {
			if ev, ok := obj.(*corev1.Event); ok {
				names = append(names, ev.Reason+": "+ev.Message)
			}
		}
		want := `Made: Made first; Refused: No second: secrets "second" is forbidden: quota`
		if got := strings.Join(names, "; "); got != want {
			t.Errorf("events:\n got %s\nwant %s", got, want)
		}
		if count(fake, secrets) != 1 {
			t.Errorf("%d secrets, want only the first", count(fake, secrets))
		}
	})
}

type echo struct{}

func (echo) Call(_ context.Context, _ client.Interface, request any) (any, error) {
	return fmt.Sprintf("echo of %v", request), nil
}

func TestPortsAnswerInTheNextView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		var answers []any
		c := &toy{ports: map[string]reconcile.Port{"echo": echo{}}, decide: func(v reconcile.View, _ reconcile.Key) (reconcile.Plan, error) {
			a, ok := v.Answer("echo", "1")
			if ok {
				answers = append(answers, a.Value)
				return reconcile.Plan{}, nil
			}
			return reconcile.Plan{Calls: []reconcile.Call{{Port: "echo", ID: "1", Request: 7}}}, nil
		}}
		defer start(t, fake, nil, c)()
		synctest.Wait()
		if fmt.Sprint(answers) != "[echo of 7]" {
			t.Errorf("answers %v", answers)
		}
	})
}

func TestAfterRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		began := time.Now()
		var at []time.Duration
		c := &toy{decide: func(v reconcile.View, _ reconcile.Key) (reconcile.Plan, error) {
			at = append(at, v.Now().Sub(began))
			return reconcile.Plan{After: time.Minute}, nil
		}}
		stop := start(t, fake, nil, c)
		time.Sleep(150 * time.Second)
		synctest.Wait()
		stop()
		if got := fmt.Sprint(at); got != "[0s 1m0s 2m0s]" {
			t.Errorf("ran at %s", got)
		}
	})
}

func TestOneLeaderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		election := func(id string) *reconcile.Election {
			return &reconcile.Election{Client: fake, Namespace: "kube-system", Name: "coracle-controllers", Identity: id}
		}
		first, second := &toy{}, &toy{}
		stopFirst := start(t, fake, election("first"), first)
		synctest.Wait()
		defer start(t, fake, election("second"), second)()
		time.Sleep(time.Minute)
		synctest.Wait()
		if first.runs.Load() == 0 || second.runs.Load() != 0 {
			t.Fatalf("runs: first %d, second %d; want only the first", first.runs.Load(), second.runs.Load())
		}
		stopFirst() // gives the lease back
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if second.runs.Load() == 0 {
			t.Error("the second did not take over when the first left")
		}
	})
}

func TestLostLeaseEndsTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := clientfake.New(reconciletest.Catalogue(), configMap("a"))
		leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
		c := &toy{}
		defer start(t, fake, &reconcile.Election{Client: fake, Namespace: "kube-system", Name: "l", Identity: "me"}, c)()
		synctest.Wait()
		var cut atomic.Bool
		cut.Store(true)
		fake.Intercept(func(w client.Write) (runtime.Object, bool, error) {
			if cut.Load() && w.Resource == leases {
				return nil, true, errors.New("no route to host")
			}
			return nil, false, nil
		})
		time.Sleep(14 * time.Second)
		synctest.Wait()
		before := c.runs.Load()
		fake.Load(configMap("b"))
		synctest.Wait()
		if c.runs.Load() != before {
			t.Error("worked after the lease could not be renewed for longer than two thirds of its duration")
		}
		cut.Store(false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if c.runs.Load() == before {
			t.Error("did not lead again when the lease could be renewed")
		}
	})
}
