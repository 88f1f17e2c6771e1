package pki

import (
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func spec(dir string) ServerSpec {
	return ServerSpec{
		Dir: dir, ServerURL: "https://127.0.0.1:6443", Names: []string{"cluster.example"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, ClusterDomain: "cluster.local",
		ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"), NodeName: "one",
		NodeAddresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	}
}

func TestEnsureServer(t *testing.T) {
	dir := t.TempDir()
	files, err := EnsureServer(spec(dir), now())
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(files.CA.Cert)
	serving, err := os.ReadFile(files.Serving.CertFile)
	must(t, err)
	chain, err := ParseCerts(serving)
	must(t, err)
	if len(chain) != 2 || CertHash(chain[1]) != files.CA.Hash() {
		t.Errorf("the serving chain has %d certificates and does not end in the authority", len(chain))
	}
	for _, host := range []string{
		"localhost", "127.0.0.1", "::1", "10.43.0.1", "10.0.0.1", "cluster.example", "kubernetes",
		"kubernetes.default.svc.cluster.local",
	} {
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now()}); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	for file, user := range map[string]string{
		files.AdminKubeconfig: "kubernetes-admin", files.ControllerManagerKubeconfig: "system:kube-controller-manager",
		files.SchedulerKubeconfig: "system:kube-scheduler", files.KubeletKubeconfig: "system:node:one",
	} {
		cfg, err := clientcmd.LoadFromFile(file)
		must(t, err)
		auth := cfg.AuthInfos[cfg.Contexts[cfg.CurrentContext].AuthInfo]
		certs, err := ParseCerts(auth.ClientCertificateData)
		must(t, err)
		if certs[0].Subject.CommonName != user {
			t.Errorf("%s is for %s", file, certs[0].Subject.CommonName)
		}
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: usages, CurrentTime: now()}); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	}))
}

func TestEnsureServerAgain(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *ServerSpec, now *time.Time)
		// renewed are the files that must change; all others must not.
		renewed []string
		fails   bool
	}{
		{"the same", func(*testing.T, *ServerSpec, *time.Time) {}, nil, false},
		{"half a year later", func(_ *testing.T, _ *ServerSpec, now *time.Time) { *now = now.Add(LeafLife / 2) }, nil, false},
		{
			"most of a year later", func(_ *testing.T, _ *ServerSpec, now *time.Time) { *now = now.Add(LeafLife * 3 / 4) },
			[]string{
				"apiserver.crt", "apiserver-kubelet-client.crt", "front-proxy-client.crt", "kubelet-serving.crt", "admin.crt",
				"controller-manager.crt", "scheduler.crt", "kubelet.crt", "admin.kubeconfig", "controller-manager.kubeconfig",
				"scheduler.kubeconfig", "kubelet.kubeconfig",
			},
			false,
		},
		{
			"another name", func(_ *testing.T, s *ServerSpec, _ *time.Time) { s.Names = []string{"other.example"} },
			[]string{"apiserver.crt"},
			false,
		},
		{
			"another node", func(_ *testing.T, s *ServerSpec, _ *time.Time) { s.NodeName = "two" },
			[]string{"kubelet-serving.crt", "kubelet.crt", "kubelet.kubeconfig"},
			false,
		},
		{
			"a broken certificate", func(t *testing.T, s *ServerSpec, _ *time.Time) {
				must(t, os.WriteFile(filepath.Join(s.Dir, "scheduler.crt"), []byte("none"), 0o600))
			}, []string{"scheduler.crt", "scheduler.kubeconfig"}, false,
		},
		{
			"a lost authority key", func(t *testing.T, s *ServerSpec, _ *time.Time) {
				must(t, os.Remove(filepath.Join(s.Dir, "ca.key")))
			}, nil, true,
		},
		{
			"another authority's key", func(t *testing.T, s *ServerSpec, _ *time.Time) {
				must(t, os.Rename(filepath.Join(s.Dir, "front-proxy-ca.key"), filepath.Join(s.Dir, "ca.key")))
			}, nil, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, at := spec(t.TempDir()), now()
			_, err := EnsureServer(s, at)
			must(t, err)
			before := contents(t, s.Dir)
			tt.change(t, &s, &at)
			if _, err := EnsureServer(s, at); (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if tt.fails {
				return
			}
			want := map[string]bool{}
			for _, name := range tt.renewed {
				want[name] = true
			}
			for name, text := range contents(t, s.Dir) {
				if changed := text != before[name]; changed != want[name] {
					t.Errorf("%s changed: %v, want %v", name, changed, want[name])
				}
			}
		})
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		must(t, err)
		out[entry.Name()] = string(data)
	}
	return out
}

func TestAnAuthorityWhoseMakingWasCutShort(t *testing.T) {
	files := PairIn(t.TempDir(), "ca")
	_, err := EnsureKey(files.KeyFile)
	must(t, err)
	first, err := EnsureAuthority(files, "ca", now())
	must(t, err)
	second, err := EnsureAuthority(files, "ca", now())
	must(t, err)
	if first.Hash() != second.Hash() {
		t.Error("the authority changed")
	}
}

func TestSignNeverOutlivesTheAuthority(t *testing.T) {
	authority, err := NewAuthority("ca", now())
	must(t, err)
	key, _, err := NewKey()
	must(t, err)
	late := now().Add(AuthorityLife - time.Hour)
	data, err := authority.Sign(Leaf{CommonName: "x", Client: true}, key.Public(), late)
	must(t, err)
	certs, err := ParseCerts(data)
	must(t, err)
	if certs[0].NotAfter.After(authority.Cert.NotAfter) {
		t.Errorf("the certificate ends at %s, the authority at %s", certs[0].NotAfter, authority.Cert.NotAfter)
	}
	if _, err := authority.Sign(Leaf{CommonName: "x"}, key.Public(), now()); err == nil {
		t.Error("a certificate for nothing was signed")
	}
}

func TestRetarget(t *testing.T) {
	data, err := Kubeconfig{
		Cluster: "coracle", User: "admin", Server: "https://10.89.0.11:6443", CA: []byte("CA"), Cert: []byte("C"), Key: []byte("K"),
	}.Encode()
	must(t, err)
	got, err := Retarget(data, "mine", "https://127.0.0.1:7000")
	must(t, err)
	if got.Cluster != "mine" || got.Server != "https://127.0.0.1:7000" || string(got.Key) != "K" || got.User != "admin@mine" {
		t.Errorf("got %+v", got)
	}
	if _, err := Retarget([]byte("kind: Config"), "mine", ""); err == nil {
		t.Error("a kubeconfig without a context was accepted")
	}
}

func TestParseToken(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 4)
	tests := []struct {
		name, text string
		want       Token
		fails      bool
	}{
		{"whole", "K10" + hash + "::abcdef.0123456789abcdef", Token{hash, "abcdef", "0123456789abcdef"}, false},
		{"bare", "abcdef.0123456789abcdef", Token{"", "abcdef", "0123456789abcdef"}, false},
		{"empty", "", Token{}, true},
		{"short secret", "abcdef.0123456789abcde", Token{}, true},
		{"capitals", "ABCDEF.0123456789abcdef", Token{}, true},
		{"short hash", "K10abc::abcdef.0123456789abcdef", Token{}, true},
		{"no separator", "K10" + hash + ":abcdef.0123456789abcdef", Token{}, true},
		{"line end", "abcdef.0123456789abcdef\n", Token{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseToken(tt.text)
			if (err != nil) != tt.fails || got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "0123456789abcde") {
				t.Errorf("the error tells the secret: %v", err)
			}
			if err == nil && got.String() != tt.text {
				t.Errorf("written again it is %q", got.String())
			}
		})
	}
}

func TestNewToken(t *testing.T) {
	token, err := NewToken()
	must(t, err)
	if again, err := ParseToken(token.String()); err != nil || again != token {
		t.Errorf("%v is read as %v, %v", token, again, err)
	}
	secret := token.Object(now())
	if secret.Name != "bootstrap-token-"+token.ID || string(secret.Data["expiration"]) != "2026-01-02T03:04:05Z" {
		t.Errorf("the secret is %+v", secret)
	}
	if _, has := token.Object(time.Time{}).Data["expiration"]; has {
		t.Error("a token without an end has one")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("K10" + strings.Repeat("a", 64) + "::abcdef.0123456789abcdef")
	f.Add("abcdef.0123456789abcdef")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := ParseToken(text); err == nil && token.String() != text {
			t.Fatalf("%q is read as %+v", text, token)
		}
	})
}
