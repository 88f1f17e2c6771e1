package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"coracle.dev/coracle/internal/apiserver/lookup"
	"coracle.dev/coracle/internal/apiserver/request"
	"coracle.dev/coracle/internal/client/clientfake"
)

const audience = "https://kubernetes.default.svc"

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

type world struct {
	now      time.Time
	client   *clientfake.Client
	issuer   *Issuer
	requests *Requests
	accounts *ServiceAccounts
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newWorld(t testing.TB, signing crypto.Signer, further ...crypto.PublicKey) *world {
	t.Helper()
	w := &world{now: start}
	w.client = clientfake.New(nil,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "sa-1"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "pod-1"},
			Spec:       corev1.PodSpec{ServiceAccountName: "web", NodeName: "n1"},
		},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "node-1"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "s", UID: "secret-1"}},
	)
	keys, err := NewKeys(signing, further...)
	if err != nil {
		t.Fatal(err)
	}
	id := 0
	w.issuer, err = NewIssuer(Config{
		Issuer: audience, Keys: keys, Now: func() time.Time { return w.now },
		NewID: func() string { id++; return fmt.Sprint("id-", id) },
	})
	if err != nil {
		t.Fatal(err)
	}
	objects := lookup.New(w.client)
	w.requests, w.accounts = NewRequests(w.issuer, objects), NewServiceAccounts(w.issuer, objects)
	return w
}

func (w *world) ask(spec authenticationv1.TokenRequestSpec) (*authenticationv1.TokenRequest, error) {
	out, err := w.requests.Create(context.Background(), request.User{}, "shop", "web",
		&authenticationv1.TokenRequest{Spec: spec})
	if err != nil {
		return nil, err
	}
	return out.(*authenticationv1.TokenRequest), nil
}

func (w *world) token(t testing.TB, kind, name string) string {
	t.Helper()
	spec := authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)}
	if kind != "" {
		spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name}
	}
	out, err := w.ask(spec)
	if err != nil {
		t.Fatal(err)
	}
	return out.Status.Token
}

func (w *world) authenticate(raw string, audiences ...string) (Identity, bool, error) {
	return w.accounts.AuthenticateToken(context.Background(), raw, audiences)
}

func TestTokenOfPodNamesAccountPodAndNode(t *testing.T) {
	w := newWorld(t, ecKey(t))
	id, ok, err := w.authenticate(w.token(t, "Pod", "web-0"))
	if err != nil || !ok {
		t.Fatalf("not authenticated: %v", err)
	}
	if id.User.Name != "system:serviceaccount:shop:web" || id.User.UID != "sa-1" {
		t.Errorf("user %+v", id.User)
	}
	want := map[string]string{
		ExtraPodName: "web-0", ExtraPodUID: "pod-1", ExtraNodeName: "n1", ExtraNodeUID: "node-1", ExtraCredentialID: "JTI=id-1",
	}
	if len(id.User.Extra) != len(want) {
		t.Errorf("extra %v", id.User.Extra)
	}
	for key, value := range want {
		if got := id.User.Extra[key]; len(got) != 1 || got[0] != value {
			t.Errorf("extra %s = %v, want %s", key, got, value)
		}
	}
	for _, group := range []string{"system:serviceaccounts", "system:serviceaccounts:shop"} {
		if !id.User.InGroup(group) {
			t.Errorf("not in %s: %v", group, id.User.Groups)
		}
	}
}

// Clients that read tokens as upstream's do expect a list, however many audiences there are.
func TestAudienceIsAList(t *testing.T) {
	w := newWorld(t, ecKey(t))
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(w.token(t, "Pod", "web-0"), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := `"aud":["` + audience + `"]`; !strings.Contains(string(claims), want) {
		t.Errorf("no %s in %s", want, claims)
	}
}

func TestTokenEnds(t *testing.T) {
	gr := func(plural string) schema.GroupResource { return schema.GroupResource{Resource: plural} }
	cases := []struct {
		name, kind, object string
		then               func(*world)
		want               string
	}{
		{"when it expires", "", "", func(w *world) { w.now = start.Add(12 * time.Minute) }, "has expired"},
		{"not before its leeway is over", "", "", func(w *world) { w.now = start.Add(10*time.Minute + 30*time.Second) }, ""},
		{"with its account", "", "", func(w *world) { w.client.Remove(gr("serviceaccounts"), "shop", "web") }, "not found"},
		{"when its account is made anew", "", "", func(w *world) {
			w.client.Load(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "sa-2"}})
		}, "service account UID (sa-2) does not match claim (sa-1)"},
		{"with its pod", "Pod", "web-0", func(w *world) { w.client.Remove(gr("pods"), "shop", "web-0") }, "invalidated"},
		{"when its pod is made anew", "Pod", "web-0", func(w *world) {
			w.client.Load(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "pod-2"}})
		}, "pod UID (pod-2) does not match service account pod ref claim (pod-1)"},
		{"not with the node of its pod", "Pod", "web-0", func(w *world) { w.client.Remove(gr("nodes"), "", "n1") }, ""},
		{"with its secret", "Secret", "s", func(w *world) { w.client.Remove(gr("secrets"), "shop", "s") }, "invalidated"},
		{"with its node", "Node", "n1", func(w *world) { w.client.Remove(gr("nodes"), "", "n1") }, "invalidated"},
		{"some time after its pod should have gone", "Pod", "web-0", func(w *world) {
			at := metav1.NewTime(start)
			w.client.Load(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "web-0", UID: "pod-1", DeletionTimestamp: &at, Finalizers: []string{"a/b"},
			}})
			w.now = start.Add(2 * time.Minute)
		}, "invalidated"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, ecKey(t))
			raw := w.token(t, c.kind, c.object)
			if _, ok, err := w.authenticate(raw); !ok {
				t.Fatalf("fresh token refused: %v", err)
			}
			c.then(w)
			_, ok, err := w.authenticate(raw)
			if c.want == "" {
				if !ok {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if ok || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("ok %v, error %v, want %q", ok, err, c.want)
			}
		})
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	key, stranger := ecKey(t), ecKey(t)
	w := newWorld(t, key)
	good := w.token(t, "Pod", "web-0")
	parts := strings.Split(good, ".")
	reclaim := func(change func(map[string]any)) string {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var m map[string]any
		if err := json.Unmarshal(payload, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		text, _ := json.Marshal(m)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := func(by any, alg jose.SignatureAlgorithm, claims any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: by}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	claims := func(change func(*Claims)) Claims {
		c := Claims{
			Claims: jwt.Claims{
				Issuer: audience, Subject: MakeUsername("shop", "web"), Audience: []string{audience},
				Expiry: jwt.NewNumericDate(start.Add(time.Hour)),
			},
			Kubernetes: Bound{Namespace: "shop", ServiceAccount: Reference{Name: "web", UID: "sa-1"}},
		}
		change(&c)
		return c
	}
	nothing := func(*Claims) {}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	der, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	cases := map[string]string{
		"another account in the claims": parts[0] + "." + reclaim(func(m map[string]any) { m["sub"] = "system:serviceaccount:x:y" }) + "." + parts[2],
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"algorithm none":                none + "." + parts[1] + ".",
		"signed by a stranger":          signed(stranger, jose.ES256, claims(nothing)),
		"HMAC with the public key":      signed(public, jose.HS256, claims(nothing)),
		"subject unlike its claims":     signed(key, jose.ES256, claims(func(c *Claims) { c.Subject = "system:admin" })),
		"no expiry":                     signed(key, jose.ES256, claims(func(c *Claims) { c.Expiry = nil })),
		"no account":                    signed(key, jose.ES256, claims(func(c *Claims) { c.Kubernetes.ServiceAccount = Reference{} })),
		"no UID":                        signed(key, jose.ES256, claims(func(c *Claims) { c.Kubernetes.ServiceAccount.UID = "" })),
		"not valid yet": signed(key, jose.ES256, claims(func(c *Claims) {
			c.NotBefore = jwt.NewNumericDate(start.Add(10 * time.Minute))
		})),
		"for someone else":     signed(key, jose.ES256, claims(func(c *Claims) { c.Audience = []string{"vault"} })),
		"of another issuer":    signed(key, jose.ES256, claims(func(c *Claims) { c.Issuer = "https://evil" })),
		"of the legacy issuer": signed(key, jose.ES256, claims(func(c *Claims) { c.Issuer = LegacyIssuer })),
	}
	if _, ok, err := w.authenticate(signed(key, jose.ES256, claims(nothing))); !ok {
		t.Fatalf("the unchanged claims are refused: %v", err)
	}
	for name, raw := range cases {
		t.Run(name, func(t *testing.T) {
			if id, ok, _ := w.authenticate(raw); ok {
				t.Fatalf("accepted as %v", id.User)
			}
		})
	}
}

func TestAudiences(t *testing.T) {
	w := newWorld(t, ecKey(t))
	out, err := w.ask(authenticationv1.TokenRequestSpec{Audiences: []string{"vault", "db"}})
	if err != nil {
		t.Fatal(err)
	}
	raw := out.Status.Token
	if _, ok, _ := w.authenticate(raw); ok {
		t.Error("a token for others is good for the API server")
	}
	id, ok, err := w.authenticate(raw, "db", "cache")
	if !ok || err != nil || len(id.Audiences) != 1 || id.Audiences[0] != "db" {
		t.Errorf("asked for db: %v %v %v", id.Audiences, ok, err)
	}
	if got := *out.Spec.ExpirationSeconds; got != 3600 {
		t.Errorf("default expiration %d", got)
	}
}

func TestRotation(t *testing.T) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	before := newWorld(t, old)
	raw := before.token(t, "", "")
	after := newWorld(t, ecKey(t), &old.PublicKey)
	if _, ok, err := after.authenticate(raw); !ok {
		t.Errorf("token of the old key refused: %v", err)
	}
	without := newWorld(t, ecKey(t))
	if _, ok, _ := without.authenticate(raw); ok {
		t.Error("token of a retired key accepted")
	}
}

func TestSecretToken(t *testing.T) {
	w := newWorld(t, ecKey(t))
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "sa-1"}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "kept", UID: "secret-9"}}
	raw, err := w.issuer.SignSecret(sa, secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := w.authenticate(raw); ok {
		t.Error("accepted without its secret")
	}
	secret.Data = map[string][]byte{"token": []byte(raw)}
	w.client.Load(secret)
	w.now = start.AddDate(10, 0, 0)
	if id, ok, err := w.authenticate(raw); !ok || id.User.Name != "system:serviceaccount:shop:web" {
		t.Errorf("refused: %v", err)
	}
}

func TestRequestsRefused(t *testing.T) {
	ref := func(kind, name, uid string) *authenticationv1.BoundObjectReference {
		r := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kind, Name: name}
		r.UID = types.UID(uid)
		return r
	}
	cases := []struct {
		name string
		req  authenticationv1.TokenRequest
		is   func(error) bool
		want string
	}{
		{
			"too short",
			authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](599)}},
			apierrors.IsInvalid, "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
		},
		{
			"too long",
			authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](1<<32 + 1)}},
			apierrors.IsInvalid, "may not specify a duration larger than 2^32 seconds",
		},
		{
			"another name",
			authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{Name: "db"}},
			apierrors.IsInvalid, "must match the service account name if specified",
		},
		{"another UID", authenticationv1.TokenRequest{ObjectMeta: metav1.ObjectMeta{UID: "zzz"}}, apierrors.IsConflict, "does not match"},
		{
			"missing pod",
			authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: ref("Pod", "none", "")}},
			apierrors.IsNotFound, `pods "none" not found`,
		},
		{
			"pod of another UID",
			authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: ref("Pod", "web-0", "o")}},
			apierrors.IsConflict, "does not match the UID in record",
		},
		{"bound to a kind that cannot be", authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: ref("ConfigMap", "c", ""),
		}}, apierrors.IsBadRequest, "cannot bind token to object of type"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, ecKey(t))
			_, err := w.requests.Create(context.Background(), request.User{}, "shop", "web", &c.req)
			if err == nil || !c.is(err) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("pod of another account", func(t *testing.T) {
		w := newWorld(t, ecKey(t))
		w.client.Load(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}, Spec: corev1.PodSpec{ServiceAccountName: "db"}})
		_, err := w.ask(authenticationv1.TokenRequestSpec{BoundObjectRef: ref("Pod", "p", "")})
		if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "different serviceaccount name") {
			t.Fatal(err)
		}
	})
}

func TestKeysFromPEM(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := ecKey(t)
	sec1, _ := x509.MarshalECPrivateKey(key)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	pkix, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, data := range map[string][]byte{
		"PKCS #1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)),
		"SEC 1":   append(block("EC PARAMETERS", []byte{6}), block("EC PRIVATE KEY", sec1)...),
		"PKCS #8": block("PRIVATE KEY", pkcs8),
	} {
		signer, err := ParsePrivateKey(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := NewKeys(signer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if keys, err := ParsePublicKeys(data); err != nil || len(keys) != 1 {
			t.Errorf("%s: public half: %v %v", name, keys, err)
		}
	}
	if keys, err := ParsePublicKeys(append(block("PUBLIC KEY", pkix), block("PUBLIC KEY", pkix)...)); err != nil || len(keys) != 2 {
		t.Errorf("public keys: %v %v", keys, err)
	}
	if _, err := ParsePrivateKey([]byte("nothing")); err == nil {
		t.Error("a key was found in nothing")
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t, ecKey(t))
	d, err := NewDiscovery(w.issuer, "https://example/openid/v1/jwks")
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) map[string]any {
		rec := httptest.NewRecorder()
		d.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		var m map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return m
	}
	if c := read(ConfigurationPath); c["issuer"] != audience || c["jwks_uri"] != "https://example/openid/v1/jwks" {
		t.Errorf("configuration %v", c)
	}
	raw := w.token(t, "Pod", "web-0")
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, KeysPath, nil))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(set, &claims); err != nil || claims.Subject != "system:serviceaccount:shop:web" {
		t.Errorf("a relying party cannot verify: %v %v", claims, err)
	}
	if strings.Contains(rec.Body.String(), `"d":`) {
		t.Error("the private key is published")
	}
}

// FuzzAuthenticate: nothing but an issued token authenticates, and nothing makes it panic.
func FuzzAuthenticate(f *testing.F) {
	w := newWorld(f, ecKey(f))
	good := w.token(f, "Pod", "web-0")
	f.Add(good)
	f.Add("a.b.c")
	f.Add("..")
	f.Add(`{"payload":"","signatures":[]}`)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, raw string) {
		_, ok, _ := w.authenticate(raw)
		// An ECDSA signature has spare bits in its last base64 digit, nothing else may differ.
		if ok && (len(raw) != len(good) || raw[:len(raw)-1] != good[:len(good)-1]) {
			t.Fatalf("accepted %q", raw)
		}
	})
}
