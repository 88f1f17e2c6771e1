package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	values := map[string]string{"POD_NAME": "web-1", "NODE_NAME": "node-2", "VERSION": "7"}
	server := httptest.NewServer(newProgram(func(name string) string { return values[name] }).handler())
	defer server.Close()
	steps := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, "Hello from pod web-1 on node node-2, version 7, request 1\n"},
		{"GET", "/healthz", 200, "ok\n"},
		{"POST", "/healthz/off", 200, "ok\n"},
		{"GET", "/healthz", 503, "off\n"},
		{"GET", "/readyz", 200, "ok\n"},
		{"POST", "/healthz/on", 200, "ok\n"},
		{"GET", "/healthz", 200, "ok\n"},
		{"GET", "/slow?for=0s", 200, "That took 0s.\n"},
		{"GET", "/slow?for=2h", 400, "for must be a duration from 0s to 1m\n"},
		{"GET", "/slow?for=-1s", 400, "for must be a duration from 0s to 1m\n"},
		{"GET", "/nothing", 404, "404 page not found\n"},
		{"GET", "/", 200, "Hello from pod web-1 on node node-2, version 7, request 2\n"},
	}
	for _, step := range steps {
		request, err := http.NewRequestWithContext(t.Context(), step.method, server.URL+step.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != step.status || string(body) != step.body {
			t.Errorf("%s %s: %d %q (%v), want %d %q",
				step.method, step.path, response.StatusCode, body, err, step.status, step.body)
		}
	}
}
