package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// benchDir is where benchmarks keep etcd's data; a folder on a real disk makes fsync cost what it costs.
func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("STORE_BENCH_DIR"), "store-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func fill(b *testing.B, s *Etcd, n int) {
	b.Helper()
	value := strings.Repeat("x", 1000)
	for i := 0; i < n; i += 100 {
		var ops []Op
		for j := i; j < min(i+100, n); j++ {
			ops = append(ops, create(fmt.Sprintf("%sns%d/pod-%06d", pods, j%10, j), fmt.Sprintf("l%d:%s", j%50, value)))
		}
		commit(b, s, ops...)
	}
}

// BenchmarkCreate creates 1 KiB keys with 32 clients.
func BenchmarkCreate(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	collect(b, s, pods)
	value := bytes.Repeat([]byte("x"), 1024)
	var count atomic.Int64
	var clients sync.WaitGroup
	b.ResetTimer()
	for range 32 {
		clients.Go(func() {
			for n := count.Add(1); n <= int64(b.N); n = count.Add(1) {
				op := Op{Kind: OpCreate, Key: fmt.Sprintf("%sns/%d", pods, n), Value: value}
				if _, err := s.Commit(context.Background(), op); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
}

// BenchmarkList reads 5,000 decoded objects from the newest snapshot.
func BenchmarkList(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	c := collect(b, s, pods)
	fill(b, s, 5000)
	b.ResetTimer()
	for b.Loop() {
		n := 0
		for e := range c.Snapshot().Ascend(pods, "") {
			if _, err := c.Object(e); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 5000 {
			b.Fatalf("listed %d", n)
		}
	}
}

// BenchmarkEncodedList is BenchmarkList with kept encodings.
func BenchmarkEncodedList(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	c := collect(b, s, pods)
	fill(b, s, 5000)
	encode := func(obj any) ([]byte, error) { return c.Encode(obj) }
	b.ResetTimer()
	for b.Loop() {
		size := 0
		for e := range c.Snapshot().Ascend(pods, "") {
			data, err := c.Encoded(e, "test", encode)
			if err != nil {
				b.Fatal(err)
			}
			size += len(data)
		}
		b.SetBytes(int64(size))
	}
}

// BenchmarkRewind derives a state 1,000 events back, with indexes.
func BenchmarkRewind(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	c := collect(b, s, pods)
	fill(b, s, 5000)
	st := c.(*collection).folder.state.Load()
	for b.Loop() {
		st.snapshot.rewind(st.history.events, st.snapshot.revision-10)
	}
}

// BenchmarkWatch has 20 watchers read every update that 32 clients make.
func BenchmarkWatch(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	c := collect(b, s, pods)
	fill(b, s, 1000)
	var watchers, clients sync.WaitGroup
	for range 20 {
		stream, err := c.Follow(b.Context(), pods, s.Revision())
		if err != nil {
			b.Fatal(err)
		}
		watchers.Go(func() {
			defer stream.Close()
			for seen := 0; seen < b.N; {
				events, err := stream.Next(context.Background())
				if err != nil {
					b.Error(err)
					return
				}
				seen += len(events)
			}
		})
	}
	value := bytes.Repeat([]byte("y"), 1024)
	var count atomic.Int64
	b.ResetTimer()
	for range 32 {
		clients.Go(func() {
			for n := count.Add(1); n <= int64(b.N); n = count.Add(1) {
				key := fmt.Sprintf("%sns%d/pod-%06d", pods, n%1000%10, n%1000)
				if _, err := s.Commit(context.Background(), Op{Kind: OpPut, Key: key, Value: value}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	watchers.Wait()
	b.ReportMetric(float64(20*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkThousandWatchers is one writer with 1,000 watchers of its collection.
func BenchmarkThousandWatchers(b *testing.B) {
	s := openReal(b, Options{DataDir: benchDir(b), SoleWriter: true})
	c := collect(b, s, pods)
	var watchers sync.WaitGroup
	for i := range 1000 {
		prefix := pods
		if i%2 == 0 {
			prefix += "ns/"
		}
		stream, err := c.Follow(b.Context(), prefix, s.Revision())
		if err != nil {
			b.Fatal(err)
		}
		watchers.Go(func() {
			defer stream.Close()
			for seen := 0; seen < b.N; {
				events, err := stream.Next(context.Background())
				if err != nil {
					b.Error(err)
					return
				}
				seen += len(events)
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		commit(b, s, put(pods+"ns/x", "l:1"))
	}
	watchers.Wait()
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOpen opens an existing store with 5,000 keys.
func BenchmarkOpen(b *testing.B) {
	dir := benchDir(b)
	s, err := Open(b.Context(), Options{DataDir: dir})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	fill(b, s, 5000)
	stop()
	<-ended
	for {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if !b.Loop() {
			return
		}
		if s, err = Open(b.Context(), Options{DataDir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}
