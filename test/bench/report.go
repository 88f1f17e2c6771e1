package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// metric is one line of the table.
type metric string

// The metrics, by what the table calls them.
const (
	mStart           metric = "start to node Ready"
	mMemory          metric = "memory idle, RSS"
	mAnonymous       metric = "memory idle, anonymous part"
	mRuntimeMemory   metric = "containerd idle, RSS"
	mCPU             metric = "processor idle"
	mRuntimeCPU      metric = "containerd, processor idle"
	mCreateRate      metric = "create ConfigMaps"
	mCreateLatency   metric = "create, p50"
	mGetRate         metric = "get ConfigMaps"
	mGetLatency      metric = "get, p50"
	mListProtobuf    metric = "list all, protobuf, p50"
	mListJSON        metric = "list all, JSON, p50"
	mUpdateRate      metric = "update while watched"
	mUpdateLatency   metric = "update while watched, p50"
	mWatchRate       metric = "watch events delivered"
	mPodRunning      metric = "pod, create to Running, p50"
	mPodGone         metric = "pod with 1 s of grace, delete to gone, p50"
	mDeployment      metric = "Deployment, create to all available"
	mLoadedMemory    metric = "memory after all of this, RSS"
	mLoadedAnonymous metric = "memory after all of this, anonymous part"
)

// row says how a metric is shown.
type row struct {
	metric metric
	unit   string
	digits int
	// more tells that more is better.
	more bool
}

func rows() []row {
	return []row{
		{mStart, "s", 2, false},
		{mMemory, "MiB", 0, false},
		{mAnonymous, "MiB", 0, false},
		{mRuntimeMemory, "MiB", 0, false},
		{mCPU, "% of a core", 2, false},
		{mRuntimeCPU, "% of a core", 2, false},
		{mCreateRate, "/s", 0, true},
		{mCreateLatency, "ms", 1, false},
		{mGetRate, "/s", 0, true},
		{mGetLatency, "ms", 1, false},
		{mListProtobuf, "ms", 0, false},
		{mListJSON, "ms", 0, false},
		{mUpdateRate, "/s", 0, true},
		{mUpdateLatency, "ms", 1, false},
		{mWatchRate, "events/s", 0, true},
		{mPodRunning, "ms", 0, false},
		{mDeployment, "s", 2, false},
		{mPodGone, "s", 2, false},
		{mLoadedMemory, "MiB", 0, false},
		{mLoadedAnonymous, "MiB", 0, false},
	}
}

// column is what was measured of one system; each run adds a value.
type column struct {
	title     string
	values    map[metric][]float64
	programs  []string
	processes map[string]*processValues
}

type processValues struct{ rss, anonymous, cpu []float64 }

func (c *column) add(m metric, value float64) { c.values[m] = append(c.values[m], value) }

func (c *column) process(u usage, share float64) {
	p := c.processes[u.program]
	if p == nil {
		p = &processValues{}
		c.programs, c.processes[u.program] = append(c.programs, u.program), p
	}
	p.rss, p.anonymous, p.cpu = append(p.rss, u.rss), append(p.anonymous, u.anonymous), append(p.cpu, share)
}

type report struct {
	options *options
	columns []*column
	began   time.Time
	load    string
}

func newReport(o *options) *report {
	r := &report{options: o, began: time.Now()}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.load, _, _ = strings.Cut(string(load), " ")
	}
	return r
}

func (r *report) column(title string) *column {
	for _, c := range r.columns {
		if c.title == title {
			return c
		}
	}
	c := &column{title: title, values: map[metric][]float64{}, processes: map[string]*processValues{}}
	r.columns = append(r.columns, c)
	return c
}

// table returns the lines of the table with the header first.
func (r *report) table() [][]string {
	header := []string{"what"}
	for _, c := range r.columns {
		header = append(header, c.title)
	}
	if len(r.columns) == 2 {
		header = append(header, "ratio")
	}
	lines := [][]string{append(header, "better is", "runs, low to high")}
	for _, row := range rows() {
		if line := r.line(row); line != nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func (r *report) line(row row) []string {
	line := []string{string(row.metric)}
	var medians []float64
	var spread []string
	for _, c := range r.columns {
		values := slices.Clone(c.values[row.metric])
		if len(values) == 0 {
			line = append(line, "-")
			continue
		}
		m := median(values)
		medians = append(medians, m)
		line = append(line, fmt.Sprintf("%.*f %s", row.digits, m, row.unit))
		spread = append(spread, fmt.Sprintf("%.*f-%.*f", row.digits, values[0], row.digits, values[len(values)-1]))
	}
	if len(medians) == 0 {
		return nil
	}
	if len(r.columns) == 2 {
		ratio := "-"
		if len(medians) == 2 && medians[1] != 0 {
			ratio = fmt.Sprintf("%.2f", medians[0]/medians[1])
		}
		line = append(line, ratio)
	}
	better := "less"
	if row.more {
		better = "more"
	}
	return append(line, better, strings.Join(spread, "; "))
}

// processTable returns the lines of the table of idle processes.
func (r *report) processTable() [][]string {
	lines := [][]string{{"system", "process", "RSS MiB", "anonymous MiB", "% of a core"}}
	for _, c := range r.columns {
		for _, name := range c.programs {
			p := c.processes[name]
			lines = append(lines, []string{
				c.title, name, fmt.Sprintf("%.1f", median(slices.Clone(p.rss))),
				fmt.Sprintf("%.1f", median(slices.Clone(p.anonymous))), fmt.Sprintf("%.2f", median(slices.Clone(p.cpu))),
			})
		}
	}
	if len(lines) == 1 {
		return nil
	}
	return lines
}

// print shows the tables in columns.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, table := range [][][]string{r.table(), r.processTable()} {
		for _, line := range table {
			fmt.Fprintln(w, strings.Join(line, "\t"))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// The marks around the part of the document that is written here.
const (
	beginMark = "<!-- measured: begin -->"
	endMark   = "<!-- measured: end -->"
)

const newDocument = `# Performance

` + "`make bench`" + ` measures this and writes the part between the marks; the notes below are by hand.

` + beginMark + "\n" + endMark + `

## Notes

One line for each number that falls short: why, and what would mend it.
`

// write puts the tables into the document and keeps what people wrote around them.
func (r *report) write(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte(newDocument), nil
	}
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	before, rest, found := bytes.Cut(data, []byte(beginMark))
	_, after, foundEnd := bytes.Cut(rest, []byte(endMark))
	if !found || !foundEnd {
		return fmt.Errorf("%s has no lines %q and %q to write between", path, beginMark, endMark)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(beginMark + "\n\n")
	r.writeMeasured(&out)
	out.WriteString("\n" + endMark)
	out.Write(after)
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the document: %w", err)
	}
	return nil
}

func (r *report) writeMeasured(out io.Writer) {
	commit := r.options.commit
	if commit == "" {
		commit = "unknown"
	}
	fmt.Fprintf(out, "Measured on %s at commit %s, %s.\n", r.began.UTC().Format("2006-01-02 15:04 UTC"), commit, machine())
	fmt.Fprintf(out, "Load average before: %s. Runs of each system: %d; medians are shown. fsync is on for both.\n",
		r.load, r.options.runs)
	fmt.Fprintf(out, "Upstream: %s.\n", upstreamRelease)
	o := r.options
	fmt.Fprintf(out, "%d ConfigMaps of 1 KiB, %d clients, %d watchers, %d single pods, a Deployment of %d.\n\n",
		o.objects, o.clients, o.watchers, o.pods, o.replicas)
	writeMarkdown(out, r.table())
	if table := r.processTable(); table != nil {
		fmt.Fprintln(out, "\nIdle, by process (containerd is the same build for both and is not in the sums above):")
		fmt.Fprintln(out)
		writeMarkdown(out, table)
	}
}

const upstreamRelease = "v1.37.2 with etcd v3.7.3, containernetworking's bridge and host-local, kube-proxy with nftables"

func writeMarkdown(out io.Writer, table [][]string) {
	for i, line := range table {
		fmt.Fprintf(out, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintf(out, "|%s\n", strings.Repeat("---|", len(line)))
		}
	}
}

// machine describes the hardware and the kernel.
func machine() string {
	model := "an unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var memory unix.Sysinfo_t
	var kernel unix.Utsname
	gib, release := 0.0, "unknown"
	if unix.Sysinfo(&memory) == nil {
		gib = float64(memory.Totalram) * float64(memory.Unit) / (1 << 30)
	}
	if unix.Uname(&kernel) == nil {
		release = unix.ByteSliceToString(kernel.Release[:])
	}
	return fmt.Sprintf("%d cores of %s, %.0f GiB, Linux %s", runtime.NumCPU(), model, gib, release)
}
