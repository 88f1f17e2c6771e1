package rootca

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/kinds"
	"coracle.dev/coracle/internal/client"
	"coracle.dev/coracle/internal/reconcile"
)

// ConfigMap is the name of the published object.
const ConfigMap = "kube-root-ca.crt"

const (
	descriptionAnnotation = "kubernetes.io/description"
	description           = "Certificates that verify the API server at its in-cluster addresses, and nothing else."
)

// Controller publishes the certificate. Its keys are namespaces.
type Controller struct{ ca string }

// New returns a controller that publishes these certificates (PEM).
func New(ca []byte) *Controller { return &Controller{ca: string(ca)} }

// Name implements reconcile.Controller.
func (*Controller) Name() string { return "root-ca-cert-publisher" }

// Inputs implements reconcile.Controller.
func (*Controller) Inputs() []reconcile.Input {
	return []reconcile.Input{
		{Resource: kinds.Namespaces(), Keys: reconcile.Self},
		{
			Resource: kinds.ConfigMaps(), FieldSelector: "metadata.name=" + ConfigMap,
			Keys: func(_ reconcile.View, obj api.Object) []reconcile.Key {
				return []reconcile.Key{{Name: obj.GetNamespace()}}
			},
		},
	}
}

// Outputs implements reconcile.Controller.
func (*Controller) Outputs() []reconcile.Output {
	return []reconcile.Output{{Resource: kinds.ConfigMaps(), Verbs: []client.Verb{client.Create, client.Update}}}
}

// Reconcile implements reconcile.Controller.
func (c *Controller) Reconcile(v reconcile.View, key reconcile.Key) (reconcile.Plan, error) {
	var p reconcile.Plan
	ns, ok := reconcile.Get[*corev1.Namespace](v, kinds.Namespaces(), "", key.Name)
	if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return p, nil
	}
	wanted := map[string]string{"ca.crt": c.ca}
	cm, ok := reconcile.Get[*corev1.ConfigMap](v, kinds.ConfigMaps(), ns.Name, ConfigMap)
	if !ok {
		p.Add(reconcile.Creating(kinds.ConfigMaps(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: ns.Name, Name: ConfigMap, Annotations: map[string]string{descriptionAnnotation: description},
			},
			Data: wanted,
		}))
		return p, nil
	}
	if maps.Equal(cm.Data, wanted) && len(cm.BinaryData) == 0 && cm.Annotations[descriptionAnnotation] != "" {
		return p, nil
	}
	cm = cm.DeepCopy()
	cm.Data, cm.BinaryData = wanted, nil
	if cm.Annotations == nil {
		cm.Annotations = map[string]string{}
	}
	cm.Annotations[descriptionAnnotation] = description
	p.Add(reconcile.Updating(kinds.ConfigMaps(), cm))
	return p, nil
}
