package image

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"path"
	"sort"
	"strings"

	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// entry is one registry's credential in a pull secret.
type entry struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credentials returns what the secrets have for an image, the most specific first. A secret that can't be read is an error, as
// its owner should know.
func credentials(image string, secrets []*v1.Secret) ([]*runtimeapi.AuthConfig, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, fmt.Errorf("couldn't parse image name %q: %w", image, err)
	}
	repository := named.Name()
	type match struct {
		key  string
		auth *runtimeapi.AuthConfig
	}
	var matches []match
	for _, s := range secrets {
		entries, err := parse(s)
		if err != nil {
			return nil, fmt.Errorf("reading pull secret %s: %w", s.Name, err)
		}
		for key, e := range entries {
			if !matchesRegistry(key, repository) {
				continue
			}
			auth, err := e.config(key)
			if err != nil {
				return nil, fmt.Errorf("reading pull secret %s for %s: %w", s.Name, key, err)
			}
			matches = append(matches, match{normalize(key), auth})
		}
	}
	sort.SliceStable(matches, func(i, j int) bool {
		a, b := matches[i].key, matches[j].key
		if len(a) != len(b) {
			return len(a) > len(b)
		}
		return a < b
	})
	auths := make([]*runtimeapi.AuthConfig, len(matches))
	for i := range matches {
		auths[i] = matches[i].auth
	}
	return auths, nil
}

func parse(s *v1.Secret) (map[string]entry, error) {
	if data, ok := s.Data[v1.DockerConfigJsonKey]; ok {
		var file struct {
			Auths map[string]entry `json:"auths"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			return nil, errUnreadable(v1.DockerConfigJsonKey)
		}
		return file.Auths, nil
	}
	if data, ok := s.Data[v1.DockerConfigKey]; ok {
		var auths map[string]entry
		if err := json.Unmarshal(data, &auths); err != nil {
			return nil, errUnreadable(v1.DockerConfigKey)
		}
		return auths, nil
	}
	return nil, nil
}

// errUnreadable says nothing of the content, which is secret.
func errUnreadable(key string) error { return fmt.Errorf("the value of %s is not valid JSON", key) }

func (e entry) config(key string) (*runtimeapi.AuthConfig, error) {
	c := &runtimeapi.AuthConfig{
		Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken,
		ServerAddress: key,
	}
	if e.Auth == "" {
		return c, nil
	}
	raw, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		if raw, err = base64.RawStdEncoding.DecodeString(e.Auth); err != nil {
			return nil, fmt.Errorf("its auth field is not base64")
		}
	}
	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return nil, fmt.Errorf("its auth field is not of the form user:password")
	}
	c.Username, c.Password = user, strings.TrimRight(password, "\x00")
	return c, nil
}

// normalize strips what may stand around a registry's name: scheme, and the API version of old clients.
func normalize(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	key = strings.TrimSuffix(key, "/")
	for _, suffix := range []string{"/v1", "/v2"} {
		key = strings.TrimSuffix(key, suffix)
	}
	return key
}

// matchesRegistry says whether a secret's key is for the repository: same host (each label may have wildcards) and port, and a
// path that begins it.
func matchesRegistry(key, repository string) bool {
	wantHost, wantPath, _ := strings.Cut(normalize(key), "/")
	host, rest, _ := strings.Cut(repository, "/")
	if wantHost == "index.docker.io" || wantHost == "registry-1.docker.io" {
		wantHost = "docker.io"
	}
	if wantPath != "" && rest != wantPath && !strings.HasPrefix(rest, wantPath+"/") {
		return false
	}
	wantName, wantPort := splitPort(wantHost)
	name, port := splitPort(host)
	if wantPort != port {
		return false
	}
	want, have := strings.Split(wantName, "."), strings.Split(name, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return host, ""
}
