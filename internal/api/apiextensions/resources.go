package apiextensions

import "coracle.dev/coracle/internal/api"

// Resources returns the group's entries, in the order in which discovery lists them.
func Resources() []*api.Resource {
	return []*api.Resource{
		customResourceDefinition(),
	}
}
