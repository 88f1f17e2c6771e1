// Package image brings images to the node: it decides by the pull policy whether to pull, finds the credentials, and asks the
// runtime over the CRI's image service. It also tells which images the node has.
//
// In flow an image name, a policy and pull secrets; out flows what the runtime calls the image and which user it names, or a
// Failure with the reason of a waiting container. It does not remember failures: when to try again is the pod's business.
package image
