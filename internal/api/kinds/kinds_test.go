package kinds_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/api/builtin"
	"coracle.dev/coracle/internal/api/kinds"
)

func TestCatalogueKnowsEveryName(t *testing.T) {
	catalogue, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		resource schema.GroupResource
		kind     schema.GroupVersionKind // empty where the kind has no function
	}{
		{kinds.Pods(), kinds.Pod()},
		{kinds.Nodes(), kinds.Node()},
		{kinds.Services(), kinds.Service()},
		{kinds.Endpoints(), kinds.EndpointsKind()},
		{kinds.Namespaces(), kinds.Namespace()},
		{kinds.ServiceAccounts(), kinds.ServiceAccount()},
		{kinds.ConfigMaps(), kinds.ConfigMap()},
		{kinds.Secrets(), kinds.Secret()},
		{kinds.ReplicationControllers(), kinds.ReplicationController()},
		{kinds.PersistentVolumeClaims(), kinds.PersistentVolumeClaim()},
		{kinds.PersistentVolumes(), schema.GroupVersionKind{}},
		{kinds.Events(), kinds.Event()},
		{kinds.Deployments(), kinds.Deployment()},
		{kinds.ReplicaSets(), kinds.ReplicaSet()},
		{kinds.StatefulSets(), kinds.StatefulSet()},
		{kinds.DaemonSets(), kinds.DaemonSet()},
		{kinds.ControllerRevisions(), kinds.ControllerRevision()},
		{kinds.Jobs(), kinds.Job()},
		{kinds.CronJobs(), kinds.CronJob()},
		{kinds.Leases(), kinds.Lease()},
		{kinds.EndpointSlices(), kinds.EndpointSlice()},
		{kinds.PodDisruptionBudgets(), kinds.PodDisruptionBudget()},
		{kinds.CustomResourceDefinitions(), schema.GroupVersionKind{}},
		{kinds.IPAddresses(), schema.GroupVersionKind{}},
		{kinds.ServiceCIDRs(), schema.GroupVersionKind{}},
		{kinds.CertificateSigningRequests(), schema.GroupVersionKind{}},
		{kinds.SubjectAccessReviews(), schema.GroupVersionKind{}},
		{kinds.TokenReviews(), schema.GroupVersionKind{}},
		{kinds.RuntimeClasses(), schema.GroupVersionKind{}},
	} {
		res, ok := catalogue.Resource(c.resource)
		switch {
		case !ok:
			t.Errorf("%s is not in the catalogue", c.resource)
		case !c.kind.Empty() && (res.Kind != c.kind.Kind || res.Group != c.kind.Group):
			t.Errorf("%s is of kind %s, not %s", c.resource, res.Kind, c.kind)
		case !c.kind.Empty() && len(res.Versions) > 0:
			if _, ok := res.Version(c.kind.Version); !ok {
				t.Errorf("%s is not served as %s", c.resource, c.kind.Version)
			}
		}
	}
}
