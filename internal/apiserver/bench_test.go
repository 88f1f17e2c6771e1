package apiserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coracle.dev/coracle/internal/apiserver/servertest"
)

// kibibyte is a ConfigMap of about one KiB.
func kibibyte(name string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"},"data":{"k":"` +
		strings.Repeat("v", 900) + `"}}`
}

func benchCall(b *testing.B, server *servertest.Running, method, path, body, accept string) []byte {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	resp, err := server.HTTP.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, data, err)
	}
	return data
}

func fill(b *testing.B, server *servertest.Running, n int) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				benchCall(b, server, http.MethodPost, maps, kibibyte(fmt.Sprintf("m%05d", i)), "")
			}
		})
	}
	all.Wait()
}

func BenchmarkCreate(b *testing.B) {
	server := servertest.Start(b, servertest.Config(b))
	benchCall(b, server, http.MethodPost, maps, kibibyte("warm"), "")
	var n atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			benchCall(b, server, http.MethodPost, maps, kibibyte(fmt.Sprintf("m%d", n.Add(1))), "")
		}
	})
}

func BenchmarkGet(b *testing.B) {
	server := servertest.Start(b, servertest.Config(b))
	benchCall(b, server, http.MethodPost, maps, kibibyte("a"), "")
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			benchCall(b, server, http.MethodGet, maps+"/a", "", "")
		}
	})
}

func BenchmarkList5000(b *testing.B) {
	server := servertest.Start(b, servertest.Config(b))
	fill(b, server, 5000)
	for name, accept := range map[string]string{"json": "", "protobuf": asProto, "table": asTable} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.SetBytes(int64(len(benchCall(b, server, http.MethodGet, maps, "", accept))))
			}
		})
	}
}

// BenchmarkWatch counts events: 20 watchers see every update.
func BenchmarkWatch(b *testing.B) {
	const watchers = 20
	server := servertest.Start(b, servertest.Config(b))
	benchCall(b, server, http.MethodPost, maps, kibibyte("a"), "")
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var seen sync.WaitGroup
	for range watchers {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+maps+"?watch=1", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := server.HTTP.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		seen.Go(func() {
			defer resp.Body.Close()
			buf := make([]byte, 64*1024)
			for lines := 0; lines < b.N+1; {
				n, err := resp.Body.Read(buf)
				lines += bytes.Count(buf[:n], []byte("\n"))
				if err != nil {
					return
				}
			}
		})
	}
	var n atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			benchCall(b, server, http.MethodPost, maps, kibibyte(fmt.Sprintf("m%d", n.Add(1))), "")
		}
	})
	seen.Wait()
	b.ReportMetric(float64(b.N*watchers)/b.Elapsed().Seconds(), "events/s")
}
