package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"coracle.dev/coracle/internal/apiserver/servertest"
	"coracle.dev/coracle/internal/store"
	"coracle.dev/coracle/internal/store/storetest"
)

// event is one line of a JSON watch.
type event struct {
	Type   string
	Object struct {
		metav1.TypeMeta
		Metadata          metav1.ObjectMeta
		Code              int32
		Reason            metav1.StatusReason
		Message           string
		Rows              []struct{ Cells []any }
		ColumnDefinitions []metav1.TableColumnDefinition
	}
}

func (e event) String() string {
	return fmt.Sprintf("%s %s", e.Type, e.Object.Metadata.Name)
}

// openWatch starts a watch; next returns its events one by one and fails the test when there is none in time.
func openWatch(t *testing.T, server *servertest.Running, query string, headers map[string]string) (next func() event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+maps+"?watch=1&"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	resp, err := server.HTTP.Do(r)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("watch %s: %d", query, resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return func() event {
		t.Helper()
		var e event
		if !lines.Scan() {
			t.Fatalf("the watch ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		return e
	}
}

func expect(t *testing.T, next func() event, want ...string) event {
	t.Helper()
	var e event
	for _, w := range want {
		if e = next(); e.String() != w {
			t.Fatalf("got %s (%+v), want %s", e, e.Object, w)
		}
	}
	return e
}

func versionOf(t *testing.T, a answer) string {
	t.Helper()
	var obj struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(a.body, &obj); err != nil {
		t.Fatal(err)
	}
	return obj.Metadata.ResourceVersion
}

func TestWatchStarts(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	a := must(t, server, call{method: "POST", path: maps, body: jsonMap("a")})
	must(t, server, call{method: "POST", path: maps, body: jsonMap("b")})
	version := versionOf(t, a)

	t.Run("with the current state", func(t *testing.T) {
		for _, query := range []string{"", "resourceVersion=0"} {
			expect(t, openWatch(t, server, query, nil), "ADDED a", "ADDED b")
		}
	})
	t.Run("after a version", func(t *testing.T) {
		expect(t, openWatch(t, server, "resourceVersion="+version, nil), "ADDED b")
	})
	t.Run("as a list", func(t *testing.T) {
		next := openWatch(t, server,
			"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", nil)
		e := expect(t, next, "ADDED a", "ADDED b", "BOOKMARK ")
		if e.Object.Metadata.Annotations[metav1.InitialEventsAnnotationKey] != "true" || e.Object.Kind != "ConfigMap" {
			t.Errorf("the bookmark does not end the initial events: %+v", e.Object)
		}
		if got, _ := strconv.Atoi(e.Object.Metadata.ResourceVersion); got < 2 {
			t.Errorf("bookmark at %d", got)
		}
	})
	t.Run("without initial events", func(t *testing.T) {
		next := openWatch(t, server, "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0", nil)
		must(t, server, call{method: "POST", path: maps, body: jsonMap("c")})
		expect(t, next, "ADDED c")
		must(t, server, call{method: "DELETE", path: maps + "/c"})
	})
	t.Run("of one name", func(t *testing.T) {
		expect(t, openWatch(t, server, "fieldSelector=metadata.name%3Db", nil), "ADDED b")
	})
	t.Run("before all that is kept", func(t *testing.T) {
		bad := do(t, server, call{method: "GET", path: maps + "?watch=1&sendInitialEvents=true"})
		if bad.StatusCode != 422 || bad.status.Reason != metav1.StatusReasonInvalid {
			t.Errorf("initial events without a match: %d %s", bad.StatusCode, bad.body)
		}
	})
	t.Run("as a table", func(t *testing.T) {
		next := openWatch(t, server, "resourceVersion="+version, header("Accept", asTable))
		e := next()
		if e.Type != "ADDED" || e.Object.Kind != "Table" || len(e.Object.ColumnDefinitions) == 0 || e.Object.Rows[0].Cells[0] != "b" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("in the future", func(t *testing.T) {
		a := must(t, server, call{method: "POST", path: maps, body: jsonMap("d")})
		at, _ := strconv.Atoi(versionOf(t, a))
		next := openWatch(t, server, "resourceVersion="+strconv.Itoa(at+1), nil)
		must(t, server, call{method: "DELETE", path: maps + "/d"})
		must(t, server, call{method: "POST", path: maps, body: jsonMap("e")})
		expect(t, next, "ADDED e")
		must(t, server, call{method: "DELETE", path: maps + "/e"})
	})
}

func TestWatchTellsOfLeaving(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	next := openWatch(t, server, "labelSelector=in%3Dyes", nil)
	must(t, server, call{method: "POST", path: maps, body: jsonMap("a")})
	label := func(value string) answer {
		return must(t, server, call{
			method: "PATCH", path: maps + "/a", body: `{"metadata":{"labels":{"in":"` + value + `"}}}`,
			header: header("Content-Type", "application/merge-patch+json"),
		})
	}
	label("yes")
	expect(t, next, "ADDED a")
	left := label("no")
	e := expect(t, next, "DELETED a")
	if e.Object.Metadata.ResourceVersion != versionOf(t, left) {
		t.Errorf("left at %s, written at %s", e.Object.Metadata.ResourceVersion, versionOf(t, left))
	}
	if e.Object.Metadata.Labels["in"] != "yes" {
		t.Errorf("shows the state after it left: %v", e.Object.Metadata.Labels)
	}
	label("yes")
	expect(t, next, "ADDED a")
	must(t, server, call{method: "DELETE", path: maps + "/a"})
	expect(t, next, "DELETED a")
}

func TestWatchEnds(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	a := do(t, server, call{method: "GET", path: maps + "?watch=1&timeoutSeconds=1"})
	if a.StatusCode != 200 || len(a.body) != 0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestHistoryThatIsGone(t *testing.T) {
	s := storetest.OpenWith(t, store.Options{SoleWriter: true, HistoryEvents: 3})
	server := servertest.Start(t, servertest.ConfigWith(t, s))
	first := versionOf(t, must(t, server, call{method: "POST", path: maps, body: jsonMap("m")}))
	for i := range 20 {
		must(t, server, call{method: "POST", path: maps, body: jsonMap(fmt.Sprintf("m%d", i))})
	}
	e := openWatch(t, server, "resourceVersion="+first, nil)()
	if e.Type != "ERROR" || e.Object.Code != 410 || e.Object.Reason != metav1.StatusReasonExpired ||
		!strings.HasPrefix(e.Object.Message, "too old resource version: "+first+" (") {
		t.Errorf("a watch from before the history: %+v", e)
	}
	list := must(t, server, call{method: "GET", path: maps + "?resourceVersionMatch=Exact&resourceVersion=" + first})
	if got := strings.Count(string(list.body), `"uid"`); got != 1 {
		t.Errorf("a list from before the history has %d objects: %s", got, list.body)
	}
}

func TestWatchOverWebSocket(t *testing.T) {
	server := servertest.Start(t, servertest.Config(t))
	must(t, server, call{method: "POST", path: maps, body: jsonMap("a")})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(server.CA)
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	conn, resp, err := dialer.Dial(strings.Replace(server.URL, "https", "wss", 1)+maps+"?watch=1", nil)
	if err != nil {
		t.Fatalf("dialling: %v (%v)", err, resp)
	}
	defer conn.Close()
	var e event
	if err := conn.ReadJSON(&e); err != nil || e.String() != "ADDED a" {
		t.Errorf("got %s, %v", e, err)
	}
}
