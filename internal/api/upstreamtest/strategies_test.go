package upstreamtest

import (
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/mutatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/admissionregistration/validatingwebhookconfiguration"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/certificates/certificates"
	"k8s.io/kubernetes/pkg/registry/certificates/clustertrustbundle"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/podtemplate"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/resourcequota"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/flowschema"
	"k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration"
	"k8s.io/kubernetes/pkg/registry/networking/ingress"
	"k8s.io/kubernetes/pkg/registry/networking/ingressclass"
	"k8s.io/kubernetes/pkg/registry/networking/ipaddress"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/networking/servicecidr"
	"k8s.io/kubernetes/pkg/registry/node/runtimeclass"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattributesclass"
	"k8s.io/kubernetes/pkg/registry/storagemigration/storagemigration"
)

// strategy is upstream's behaviour on writes of a kind. Kinds whose strategy needs an authorizer or a clock are left out.
type strategy struct {
	main   rest.RESTCreateUpdateStrategy
	status rest.RESTUpdateStrategy
}

func strategies() map[string]strategy {
	return map[string]strategy{
		"mutatingwebhookconfigurations":   {mutatingwebhookconfiguration.Strategy, nil},
		"validatingwebhookconfigurations": {validatingwebhookconfiguration.Strategy, nil},
		"controllerrevisions":             {controllerrevision.Strategy, nil},
		"daemonsets":                      {daemonset.Strategy, daemonset.StatusStrategy},
		"deployments":                     {deployment.Strategy, deployment.StatusStrategy},
		"replicasets":                     {replicaset.Strategy, replicaset.StatusStrategy},
		"statefulsets":                    {statefulset.Strategy, statefulset.StatusStrategy},
		"horizontalpodautoscalers":        {horizontalpodautoscaler.Strategy, horizontalpodautoscaler.StatusStrategy},
		"cronjobs":                        {cronjob.Strategy, cronjob.StatusStrategy},
		"jobs":                            {job.Strategy, job.StatusStrategy},
		"certificatesigningrequests":      {certificates.Strategy, certificates.StatusStrategy},
		"clustertrustbundles":             {clustertrustbundle.Strategy, nil},
		"leases":                          {lease.Strategy, nil},
		"configmaps":                      {configmap.Strategy, nil},
		"endpoints":                       {endpoint.Strategy, nil},
		"events":                          {event.Strategy, nil},
		"namespaces":                      {namespace.Strategy, namespace.StatusStrategy},
		"nodes":                           {node.Strategy, node.StatusStrategy},
		"persistentvolumes":               {persistentvolume.Strategy, persistentvolume.StatusStrategy},
		"persistentvolumeclaims":          {persistentvolumeclaim.Strategy, persistentvolumeclaim.StatusStrategy},
		"pods":                            {pod.Strategy, pod.StatusStrategy},
		"podtemplates":                    {podtemplate.Strategy, nil},
		"replicationcontrollers":          {replicationcontroller.Strategy, replicationcontroller.StatusStrategy},
		"resourcequotas":                  {resourcequota.Strategy, resourcequota.StatusStrategy},
		"secrets":                         {secret.Strategy, nil},
		"services":                        {service.Strategy, service.StatusStrategy},
		"serviceaccounts":                 {serviceaccount.Strategy, nil},
		"endpointslices":                  {endpointslice.Strategy, nil},
		"flowschemas":                     {flowschema.Strategy, flowschema.StatusStrategy},
		"prioritylevelconfigurations":     {prioritylevelconfiguration.Strategy, prioritylevelconfiguration.StatusStrategy},
		"ingresses":                       {ingress.Strategy, ingress.StatusStrategy},
		"ingressclasses":                  {ingressclass.Strategy, nil},
		"ipaddresses":                     {ipaddress.Strategy, nil},
		"networkpolicies":                 {networkpolicy.Strategy, nil},
		"servicecidrs":                    {servicecidr.Strategy, servicecidr.StatusStrategy},
		"runtimeclasses":                  {runtimeclass.Strategy, nil},
		"poddisruptionbudgets":            {poddisruptionbudget.Strategy, poddisruptionbudget.StatusStrategy},
		"clusterroles":                    {clusterrole.Strategy, nil},
		"clusterrolebindings":             {clusterrolebinding.Strategy, nil},
		"roles":                           {role.Strategy, nil},
		"rolebindings":                    {rolebinding.Strategy, nil},
		"deviceclasses":                   {deviceclass.Strategy, nil},
		"resourceslices":                  {resourceslice.Strategy, nil},
		"priorityclasses":                 {priorityclass.Strategy, nil},
		"csidrivers":                      {csidriver.Strategy, nil},
		"csinodes":                        {csinode.Strategy, csinode.StatusStrategy},
		"csistoragecapacities":            {csistoragecapacity.Strategy, nil},
		"storageclasses":                  {storageclass.Strategy, nil},
		"volumeattachments":               {volumeattachment.Strategy, volumeattachment.StatusStrategy},
		"volumeattributesclasses":         {volumeattributesclass.Strategy, nil},
		"storageversionmigrations":        {storagemigration.Strategy, storagemigration.StatusStrategy},
	}
}
