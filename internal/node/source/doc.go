// Package source reads what pods are configured with from the API server: ConfigMaps, Secrets, Services, service account tokens.
//
// A node may read only the single objects that its pods name, so each is read and followed on its own. Reads are consistent;
// following only tells which pods to look at again. It implements volume.Source.
package source
