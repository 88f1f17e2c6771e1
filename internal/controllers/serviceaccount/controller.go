package serviceaccount

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// Controller makes the accounts. Its keys are namespaces.
type Controller struct{ names []string }

// New returns a controller for accounts of these names, by default only "default".
func New(names ...string) *Controller {
	if len(names) == 0 {
		names = []string{"default"}
	}
	return &Controller{names: names}
}

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "service-account-controller" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Namespaces(), Keys: reconcile.Self},
		{Resource: kinds.ServiceAccounts(), Keys: func(_ reconcile.View, obj api.Object) []reconcile.Key {
			return []reconcile.Key{{Name: obj.GetNamespace()}}
		}},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{{Resource: kinds.ServiceAccounts(), Verbs: []client.Verb{client.Create}}}
}

// Reconcile implements reconcile.Controller.
func (c *Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	ns, ok := reconcile.Get[*corev1.Namespace](v, kinds.Namespaces(), "", key.Name)
	if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return p, nil
	}
	var missing []reconcile.Write
	for _, name := range c.names {
		if _, ok := v.Get(kinds.ServiceAccounts(), ns.Name, name); !ok {
			missing = append(missing, reconcile.Creating(kinds.ServiceAccounts(), &corev1.ServiceAccount{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: name},
			}))
		}
	}
	p.Add(missing...)
	return p, nil
}
