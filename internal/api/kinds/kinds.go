package kinds

import (
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Pods returns the resource.
func Pods() schema.GroupResource {
	return schema.GroupResource{Resource: "pods"}
}

// Pod returns the kind.
func Pod() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Pod") }

// Nodes returns the resource.
func Nodes() schema.GroupResource {
	return schema.GroupResource{Resource: "nodes"}
}

// Node returns the kind.
func Node() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Node") }

// Services returns the resource.
func Services() schema.GroupResource {
	return schema.GroupResource{Resource: "services"}
}

// Service returns the kind.
func Service() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Service") }

// Endpoints returns the resource.
func Endpoints() schema.GroupResource {
	return schema.GroupResource{Resource: "endpoints"}
}

// EndpointsKind returns the kind.
func EndpointsKind() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Endpoints") }

// Namespaces returns the resource.
func Namespaces() schema.GroupResource {
	return schema.GroupResource{Resource: "namespaces"}
}

// Namespace returns the kind.
func Namespace() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Namespace") }

// ServiceAccounts returns the resource.
func ServiceAccounts() schema.GroupResource {
	return schema.GroupResource{Resource: "serviceaccounts"}
}

// ServiceAccount returns the kind.
func ServiceAccount() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("ServiceAccount")
}

// ConfigMaps returns the resource.
func ConfigMaps() schema.GroupResource {
	return schema.GroupResource{Resource: "configmaps"}
}

// ConfigMap returns the kind.
func ConfigMap() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("ConfigMap") }

// Secrets returns the resource.
func Secrets() schema.GroupResource {
	return schema.GroupResource{Resource: "secrets"}
}

// Secret returns the kind.
func Secret() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Secret") }

// ReplicationControllers returns the resource.
func ReplicationControllers() schema.GroupResource {
	return schema.GroupResource{Resource: "replicationcontrollers"}
}

// ReplicationController returns the kind.
func ReplicationController() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("ReplicationController")
}

// PersistentVolumeClaims returns the resource.
func PersistentVolumeClaims() schema.GroupResource {
	return schema.GroupResource{Resource: "persistentvolumeclaims"}
}

// PersistentVolumeClaim returns the kind.
func PersistentVolumeClaim() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim")
}

// Events returns the resource.
func Events() schema.GroupResource {
	return schema.GroupResource{Resource: "events"}
}

// Event returns the kind.
func Event() schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind("Event") }

// Deployments returns the resource.
func Deployments() schema.GroupResource {
	return schema.GroupResource{Group: appsv1.GroupName, Resource: "deployments"}
}

// Deployment returns the kind.
func Deployment() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("Deployment") }

// ReplicaSets returns the resource.
func ReplicaSets() schema.GroupResource {
	return schema.GroupResource{Group: appsv1.GroupName, Resource: "replicasets"}
}

// ReplicaSet returns the kind.
func ReplicaSet() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("ReplicaSet") }

// StatefulSets returns the resource.
func StatefulSets() schema.GroupResource {
	return schema.GroupResource{Group: appsv1.GroupName, Resource: "statefulsets"}
}

// StatefulSet returns the kind.
func StatefulSet() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("StatefulSet") }

// DaemonSets returns the resource.
func DaemonSets() schema.GroupResource {
	return schema.GroupResource{Group: appsv1.GroupName, Resource: "daemonsets"}
}

// DaemonSet returns the kind.
func DaemonSet() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("DaemonSet") }

// ControllerRevisions returns the resource.
func ControllerRevisions() schema.GroupResource {
	return schema.GroupResource{Group: appsv1.GroupName, Resource: "controllerrevisions"}
}

// ControllerRevision returns the kind.
func ControllerRevision() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("ControllerRevision")
}

// Jobs returns the resource.
func Jobs() schema.GroupResource {
	return schema.GroupResource{Group: batchv1.GroupName, Resource: "jobs"}
}

// Job returns the kind.
func Job() schema.GroupVersionKind { return batchv1.SchemeGroupVersion.WithKind("Job") }

// CronJobs returns the resource.
func CronJobs() schema.GroupResource {
	return schema.GroupResource{Group: batchv1.GroupName, Resource: "cronjobs"}
}

// CronJob returns the kind.
func CronJob() schema.GroupVersionKind { return batchv1.SchemeGroupVersion.WithKind("CronJob") }

// Leases returns the resource.
func Leases() schema.GroupResource {
	return schema.GroupResource{Group: coordinationv1.GroupName, Resource: "leases"}
}

// Lease returns the kind.
func Lease() schema.GroupVersionKind { return coordinationv1.SchemeGroupVersion.WithKind("Lease") }

// EndpointSlices returns the resource.
func EndpointSlices() schema.GroupResource {
	return schema.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}
}

// EndpointSlice returns the kind.
func EndpointSlice() schema.GroupVersionKind {
	return discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")
}

// PodDisruptionBudgets returns the resource.
func PodDisruptionBudgets() schema.GroupResource {
	return schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudgets"}
}

// PodDisruptionBudget returns the kind.
func PodDisruptionBudget() schema.GroupVersionKind {
	return policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")
}

// CustomResourceDefinitions returns the resource.
func CustomResourceDefinitions() schema.GroupResource {
	return schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
}

// PersistentVolumes returns the resource.
func PersistentVolumes() schema.GroupResource {
	return schema.GroupResource{Resource: "persistentvolumes"}
}

// IPAddresses returns the resource.
func IPAddresses() schema.GroupResource {
	return schema.GroupResource{Group: networkingv1.GroupName, Resource: "ipaddresses"}
}

// ServiceCIDRs returns the resource.
func ServiceCIDRs() schema.GroupResource {
	return schema.GroupResource{Group: networkingv1.GroupName, Resource: "servicecidrs"}
}

// CertificateSigningRequests returns the resource.
func CertificateSigningRequests() schema.GroupResource {
	return schema.GroupResource{Group: certificatesv1.GroupName, Resource: "certificatesigningrequests"}
}

// SubjectAccessReviews returns the resource.
func SubjectAccessReviews() schema.GroupResource {
	return schema.GroupResource{Group: authorizationv1.GroupName, Resource: "subjectaccessreviews"}
}

// TokenReviews returns the resource.
func TokenReviews() schema.GroupResource {
	return schema.GroupResource{Group: authenticationv1.GroupName, Resource: "tokenreviews"}
}

// RuntimeClasses returns the resource.
func RuntimeClasses() schema.GroupResource {
	return schema.GroupResource{Group: nodev1.GroupName, Resource: "runtimeclasses"}
}
