package main

import (
	"os"
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	tests := []struct {
		name, stat string
		want       float64
		fails      bool
	}{
		{name: "plain", stat: "7 (etcd) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100", want: 2},
		{name: "a name with spaces and brackets", stat: "7 (runc:[2:INIT] ) x) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0", want: 0.03},
		{name: "cut off", stat: "7 (etcd) S 1 7", fails: true},
		{name: "not numbers", stat: "7 (etcd) S 1 7 7 0 -1 4194560 1 0 0 0 x y 0 0", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := cpuTime(test.stat)
			if (err != nil) != test.fails || got != test.want {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	rss, anonymous := memory("Name:\tetcd\nVmHWM:\t   9999 kB\nVmRSS:\t    2048 kB\nRssAnon:\t     512 kB\nThreads:\t9\n")
	if rss != 2 || anonymous != 0.5 {
		t.Errorf("got %v and %v MiB", rss, anonymous)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.rss <= 0 || u.anonymous <= 0 || u.anonymous > u.rss || u.program == "" {
		t.Errorf("%+v can't be", u)
	}
}

func TestSumKeepsTheRuntimeApart(t *testing.T) {
	list := []usage{
		{program: "etcd", rss: 1},
		{program: "containerd", rss: 10},
		{program: "containerd-shim-runc-v2", rss: 20},
		{program: "kubelet", rss: 3},
	}
	if own, runtime := sum(list, rss, false), sum(list, rss, true); own != 4 || runtime != 30 {
		t.Errorf("got %v and %v", own, runtime)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		list []time.Duration
		want time.Duration
	}{{[]time.Duration{3}, 3}, {[]time.Duration{9, 1, 5}, 5}, {[]time.Duration{8, 2, 4, 6}, 5}} {
		if got := median(test.list); got != test.want {
			t.Errorf("the median of %v is %v", test.list, got)
		}
	}
}
