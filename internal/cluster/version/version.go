package version

import (
	"runtime"
	"runtime/debug"

	apiversion "k8s.io/apimachinery/pkg/version"
)

// The release of Kubernetes whose API and behaviour are implemented, and Coracle's own number within it.
const (
	Major   = "1"
	Minor   = "37"
	Release = "v1.37.2+coracle.1"
)

// Info is what /version answers.
func Info() apiversion.Info {
	info := apiversion.Info{
		Major: Major, Minor: Minor, GitVersion: Release, GitTreeState: "clean",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		EmulationMajor: Major, EmulationMinor: Minor, MinCompatibilityMajor: Major, MinCompatibilityMinor: "36",
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.GitCommit = s.Value
		case "vcs.time":
			info.BuildDate = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				info.GitTreeState = "dirty"
			}
		}
	}
	return info
}
