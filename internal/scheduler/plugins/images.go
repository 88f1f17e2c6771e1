package plugins

import (
	"strings"

	"coracle.dev/coracle/internal/scheduler/core"
)

// ImageLocality prefers nodes that have the pod's images already, less so for images that few nodes have, lest all pods of an
// image heap up where it was pulled first.
type ImageLocality struct{}

// Sizes between which having an image counts from nothing to fully, in bytes per container, as upstream sets them.
const (
	leastImage int64 = 23 << 20
	mostImage  int64 = 1000 << 20
)

// Name implements core.Plugin.
func (ImageLocality) Name() string { return "ImageLocality" }

// spread maps an image name to the share of nodes that have it.
type spread map[string]float64

// Prepare implements core.Preparer.
func (ImageLocality) Prepare(pod *core.Pod, view core.View) (any, *core.Rejection) {
	s := spread{}
	for _, name := range images(pod) {
		have := 0
		for _, n := range view.Nodes {
			if _, ok := n.Images[name]; ok {
				have++
			}
		}
		if have > 0 {
			s[name] = float64(have) / float64(len(view.Nodes))
		}
	}
	return s, nil
}

// Score implements core.Scorer.
func (ImageLocality) Score(state any, pod *core.Pod, node *core.Node) int64 {
	s, _ := state.(spread)
	if len(s) == 0 {
		return 0
	}
	names := images(pod)
	var sum int64
	for _, name := range names {
		sum += int64(float64(node.Images[name]) * s[name])
	}
	most := mostImage * int64(len(names))
	sum = min(max(sum, leastImage), most)
	return core.MaxScore * (sum - leastImage) / (most - leastImage)
}

// images returns the names of the pod's images, with the tag that an image without one has.
func images(pod *core.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		names = append(names, normalImage(c.Image))
	}
	for _, c := range pod.Spec.Containers {
		names = append(names, normalImage(c.Image))
	}
	return names
}

func normalImage(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return name + ":latest"
	}
	return name
}
