package authz

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"

	"coracle.dev/coracle/internal/api"
	"coracle.dev/coracle/internal/apiserver/podref"
)

// objectKind is a kind of object that a node may use because something of the node's own names it.
type objectKind int

const (
	aPod objectKind = iota + 1
	aSecret
	aConfigMap
	aClaim
	aServiceAccount
	aResourceClaim
	aVolumeAttachment
	aResourceSlice
	aCertificateRequest
)

// thing is one object.
type thing struct {
	kind objectKind
	types.NamespacedName
}

// nodeGraph knows which node uses which object. Every link of the chain node - pod - object is folded into a count per node
// when a pod comes or goes, so that a question is one look-up. Only volumes add a step: object - volume - claim.
type nodeGraph struct {
	// users counts, for each thing, how many things of a node need it.
	users map[thing]map[string]int
	// links holds what each source (pod, attachment, slice, request) has counted, to take it back.
	links map[thing]nodeLinks
	// claimOf is the claim a volume is bound to; volumesOf are the volumes that need a Secret.
	claimOf   map[string]types.NamespacedName
	secretsOf map[string][]types.NamespacedName
	volumesOf map[types.NamespacedName]map[string]struct{}
}

type nodeLinks struct {
	node   string
	things []thing
}

func newNodeGraph() *nodeGraph {
	return &nodeGraph{
		users: map[thing]map[string]int{}, links: map[thing]nodeLinks{},
		claimOf: map[string]types.NamespacedName{}, secretsOf: map[string][]types.NamespacedName{},
		volumesOf: map[types.NamespacedName]map[string]struct{}{},
	}
}

// uses tells whether the node uses the thing.
func (g *nodeGraph) uses(node string, t thing) bool {
	if g.users[t][node] > 0 {
		return true
	}
	if t.kind != aSecret {
		return false
	}
	for volume := range g.volumesOf[t.NamespacedName] {
		if g.usesVolume(node, volume) {
			return true
		}
	}
	return false
}

// usesVolume tells whether a pod of the node uses the claim that the volume is bound to.
func (g *nodeGraph) usesVolume(node, volume string) bool {
	claim, bound := g.claimOf[volume]
	return bound && g.users[thing{aClaim, claim}][node] > 0
}

// link replaces what a source makes its node use. No node or nothing used takes it out.
func (g *nodeGraph) link(source thing, node string, things []thing) {
	if old, ok := g.links[source]; ok {
		delete(g.links, source)
		for _, t := range old.things {
			g.users[t][old.node]--
			if g.users[t][old.node] == 0 {
				delete(g.users[t], old.node)
			}
			if len(g.users[t]) == 0 {
				delete(g.users, t)
			}
		}
	}
	if node == "" || len(things) == 0 {
		return
	}
	g.links[source] = nodeLinks{node, things}
	for _, t := range things {
		if g.users[t] == nil {
			g.users[t] = map[string]int{}
		}
		g.users[t][node]++
	}
}

func (g *nodeGraph) setPod(key types.NamespacedName, obj api.Object) {
	pod, ok := obj.(*corev1.Pod)
	source := thing{aPod, key}
	if !ok || pod.Spec.NodeName == "" {
		g.link(source, "", nil)
		return
	}
	g.link(source, pod.Spec.NodeName, podThings(pod))
}

// podThings lists what a pod lets its node use: the pod itself and all that it names. A mirror pod, which a node makes itself,
// gives access to nothing else.
func podThings(pod *corev1.Pod) []thing {
	things := []thing{{aPod, keyOf(pod)}}
	if podref.IsMirror(pod) {
		return things
	}
	add := func(kind objectKind, names ...string) {
		for _, name := range names {
			if name != "" {
				things = append(things, thing{kind, types.NamespacedName{Namespace: pod.Namespace, Name: name}})
			}
		}
	}
	add(aServiceAccount, pod.Spec.ServiceAccountName)
	add(aSecret, podref.Secrets(pod)...)
	add(aConfigMap, podref.ConfigMaps(pod)...)
	add(aClaim, podref.Claims(pod)...)
	add(aResourceClaim, podref.ResourceClaims(pod)...)
	return things
}

func (g *nodeGraph) setVolume(key types.NamespacedName, obj api.Object) {
	for _, secret := range g.secretsOf[key.Name] {
		delete(g.volumesOf[secret], key.Name)
		if len(g.volumesOf[secret]) == 0 {
			delete(g.volumesOf, secret)
		}
	}
	delete(g.secretsOf, key.Name)
	delete(g.claimOf, key.Name)
	pv, ok := obj.(*corev1.PersistentVolume)
	if !ok || pv.Spec.ClaimRef == nil {
		return
	}
	g.claimOf[key.Name] = types.NamespacedName{Namespace: pv.Spec.ClaimRef.Namespace, Name: pv.Spec.ClaimRef.Name}
	g.secretsOf[key.Name] = podref.NodeSecrets(pv)
	for _, secret := range g.secretsOf[key.Name] {
		if g.volumesOf[secret] == nil {
			g.volumesOf[secret] = map[string]struct{}{}
		}
		g.volumesOf[secret][key.Name] = struct{}{}
	}
}

func (g *nodeGraph) setAttachment(key types.NamespacedName, obj api.Object) {
	node := ""
	if a, ok := obj.(*storagev1.VolumeAttachment); ok {
		node = a.Spec.NodeName
	}
	g.linkSelf(thing{aVolumeAttachment, key}, node)
}

func (g *nodeGraph) setSlice(key types.NamespacedName, obj api.Object) {
	node := ""
	if s, ok := obj.(*resourcev1.ResourceSlice); ok && s.Spec.NodeName != nil {
		node = *s.Spec.NodeName
	}
	g.linkSelf(thing{aResourceSlice, key}, node)
}

func (g *nodeGraph) setCertificateRequest(key types.NamespacedName, obj api.Object) {
	node := ""
	if r, ok := obj.(*certificatesv1.PodCertificateRequest); ok {
		node = string(r.Spec.NodeName)
	}
	g.linkSelf(thing{aCertificateRequest, key}, node)
}

func (g *nodeGraph) linkSelf(t thing, node string) { g.link(t, node, []thing{t}) }
