package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"coracle.dev/coracle/internal/api/meta"
)

// gonePlugin is a volume plugin that was removed, and whether an object names it.
type gonePlugin struct {
	named     bool
	name, why string
}

func warnGone(at *field.Path, plugins []gonePlugin) []string {
	var out []string
	for _, p := range plugins {
		if p.named {
			out = append(out, fmt.Sprintf("%s: %s", at.Child(p.name), p.why))
		}
	}
	return out
}

func warnVolumes(at *field.Path, volumes []corev1.Volume) []string {
	var out []string
	for i := range volumes {
		v, at := &volumes[i], at.Index(i)
		out = append(out, warnGone(at, []gonePlugin{
			{v.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
			{v.GitRepo != nil, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
			{v.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
			{v.Flocker != nil, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
			{v.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Quobyte != nil, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
			{v.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		})...)
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			out = append(out, WarnClaimSpec(at.Child("ephemeral", "volumeClaimTemplate", "spec"),
				&v.Ephemeral.VolumeClaimTemplate.Spec)...)
		}
		out = append(out, warnGone(at, []gonePlugin{
			{v.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
			{v.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
		})...)
	}
	return out
}

// file is a path in a volume and what is to be written there.
type file struct{ path, from string }

func (f file) String() string {
	if f.from == "" {
		return fmt.Sprintf("%q", f.path)
	}
	return fmt.Sprintf("%q (%s)", f.path, f.from)
}

// warnOverlaps warns of files in one volume of which one overwrites the other or is where the other needs a folder.
func warnOverlaps(volumes []corev1.Volume) []string {
	var out []string
	for i := range volumes {
		v := &volumes[i]
		warn := func(what string, files []file) {
			for _, pair := range overlaps(files) {
				out = append(out, fmt.Sprintf("volume %q (%s): overlapping paths: %s with %s", v.Name, what, pair[0], pair[1]))
			}
		}
		if s := v.ConfigMap; s != nil {
			warn(fmt.Sprintf("ConfigMap %q", s.Name), itemFiles(s.Items, ""))
		}
		if s := v.Secret; s != nil {
			warn(fmt.Sprintf("Secret %q", s.SecretName), itemFiles(s.Items, ""))
		}
		if s := v.DownwardAPI; s != nil {
			warn("DownwardAPI", downwardFiles(s.Items, ""))
		}
		if s := v.Projected; s != nil {
			var files []file
			for k := range s.Sources {
				if s.Sources[k] == (corev1.VolumeProjection{}) {
					out = append(out, fmt.Sprintf("volume %q (Projected) has no sources provided", v.Name))
				}
				files = append(files, projectedFiles(&s.Sources[k])...)
			}
			warn("Projected", files)
		}
	}
	return out
}

func itemFiles(items []corev1.KeyToPath, from string) []file {
	var files []file
	for _, k := range items {
		files = append(files, file{k.Path, from})
	}
	return files
}

func downwardFiles(items []corev1.DownwardAPIVolumeFile, from string) []file {
	var files []file
	for _, f := range items {
		files = append(files, file{f.Path, from})
	}
	return files
}

func projectedFiles(s *corev1.VolumeProjection) []file {
	switch {
	case s.ConfigMap != nil:
		return itemFiles(s.ConfigMap.Items, fmt.Sprintf("ConfigMap %q", s.ConfigMap.Name))
	case s.Secret != nil:
		return itemFiles(s.Secret.Items, fmt.Sprintf("Secret %q", s.Secret.Name))
	case s.DownwardAPI != nil:
		return downwardFiles(s.DownwardAPI.Items, "DownwardAPI")
	case s.ServiceAccountToken != nil:
		return []file{{s.ServiceAccountToken.Path, "ServiceAccountToken"}}
	case s.ClusterTrustBundle != nil:
		name := meta.Deref(s.ClusterTrustBundle.Name)
		if s.ClusterTrustBundle.Name == nil {
			name = meta.Deref(s.ClusterTrustBundle.SignerName)
		}
		return []file{{s.ClusterTrustBundle.Path, fmt.Sprintf("ClusterTrustBundle %q", name)}}
	case s.PodCertificate != nil:
		return []file{
			{s.PodCertificate.CertificateChainPath, "PodCertificate chain"},
			{s.PodCertificate.KeyPath, "PodCertificate key"},
			{s.PodCertificate.CredentialBundlePath, "PodCertificate credential bundle"},
		}
	}
	return nil
}

// overlaps returns the pairs of files, the later one first, of which one is the other or in a folder of its name.
func overlaps(files []file) [][2]file {
	var pairs [][2]file
	for i := range files {
		files[i].path = strings.TrimRight(files[i].path, "/")
		for _, earlier := range files[:i] {
			a, b := files[i].path, earlier.path
			if a != "" && b != "" && (strings.HasPrefix(a+"/", b+"/") || strings.HasPrefix(b+"/", a+"/")) {
				pairs = append(pairs, [2]file{files[i], earlier})
			}
		}
	}
	return pairs
}
