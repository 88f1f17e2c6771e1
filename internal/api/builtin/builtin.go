package builtin

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/api/admissionregistration"
	"coracle.dev/coracle/internal/api/apiextensions"
	"coracle.dev/coracle/internal/api/apiregistration"
	"coracle.dev/coracle/internal/api/apps"
	"coracle.dev/coracle/internal/api/authentication"
	"coracle.dev/coracle/internal/api/authorization"
	"coracle.dev/coracle/internal/api/autoscaling"
	"coracle.dev/coracle/internal/api/batch"
	"coracle.dev/coracle/internal/api/certificates"
	"coracle.dev/coracle/internal/api/codec"
	"coracle.dev/coracle/internal/api/coordination"
	"coracle.dev/coracle/internal/api/core"
	"coracle.dev/coracle/internal/api/discovery"
	"coracle.dev/coracle/internal/api/events"
	"coracle.dev/coracle/internal/api/flowcontrol"
	"coracle.dev/coracle/internal/api/networking"
	"coracle.dev/coracle/internal/api/node"
	"coracle.dev/coracle/internal/api/policy"
	"coracle.dev/coracle/internal/api/rbac"
	"coracle.dev/coracle/internal/api/resource"
	"coracle.dev/coracle/internal/api/scheduling"
	"coracle.dev/coracle/internal/api/storage"
	"coracle.dev/coracle/internal/api/storagemigration"
)

// New builds the catalogue of all built-in resources. Every call makes an independent one.
func New() (*api.Catalogue, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	return api.NewCatalogue(scheme, resources())
}

// resources lists the groups in the order in which upstream's discovery shows them: by group priority.
func resources() []*api.Resource {
	return slices.Concat(
		core.Resources(),
		apiregistration.Resources(),
		apps.Resources(),
		events.Resources(),
		authentication.Resources(),
		authorization.Resources(),
		autoscaling.Resources(),
		batch.Resources(),
		certificates.Resources(),
		networking.Resources(),
		policy.Resources(),
		rbac.Resources(),
		storage.Resources(),
		admissionregistration.Resources(),
		apiextensions.Resources(),
		scheduling.Resources(),
		coordination.Resources(),
		node.Resources(),
		discovery.Resources(),
		flowcontrol.Resources(),
		resource.Resources(),
		storagemigration.Resources(),
	)
}

// Codecs returns the wire serializers for a catalogue's scheme.
func Codecs(c *api.Catalogue) *codec.Set { return codec.New(c.Scheme()) }

// ParameterCodec reads and writes query parameters: list, get, patch, create, update and delete options of every served
// group-version, and the options of log, exec, attach, port-forward and proxy.
func ParameterCodec(c *api.Catalogue) runtime.ParameterCodec {
	return runtime.NewParameterCodec(c.Scheme())
}
