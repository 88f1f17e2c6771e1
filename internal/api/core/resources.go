package core

import "coracle.dev/coracle/internal/api"

// Resources returns the group's entries, in the order in which discovery lists them.
func Resources() []*api.Resource {
	return []*api.Resource{
		binding(),
		componentStatus(),
		configMap(),
		endpoints(),
		Event(),
		limitRange(),
		namespace(),
		node(),
		persistentVolumeClaim(),
		persistentVolume(),
		pod(),
		podTemplate(),
		replicationController(),
		resourceQuota(),
		secret(),
		serviceAccount(),
		service(),
	}
}
