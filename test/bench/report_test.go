package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testReport() *report {
	r := newReport(&options{runs: 3, commit: "abc"})
	for title, values := range map[string][]float64{"Coracle": {3, 1, 2}, "upstream": {8, 4}} {
		for _, v := range values {
			r.column(title).add(mStart, v)
		}
	}
	if r.columns[0].title != "Coracle" {
		r.columns[0], r.columns[1] = r.columns[1], r.columns[0]
	}
	return r
}

func TestTable(t *testing.T) {
	lines := testReport().table()
	if len(lines) != 2 {
		t.Fatalf("want a header and the one metric that was measured: %v", lines)
	}
	want := "start to node Ready|2.00 s|6.00 s|0.33|less|1.00-3.00; 4.00-8.00"
	if got := strings.Join(lines[1], "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTableWithAColumnMissing(t *testing.T) {
	r := testReport()
	r.columns[0].add(mPodRunning, 200)
	lines := r.table()
	want := "pod, create to Running, p50|200 ms|-|-|less|200-200"
	if got := strings.Join(lines[len(lines)-1], "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEveryMetricHasARow(t *testing.T) {
	seen := map[metric]bool{}
	for _, row := range rows() {
		if seen[row.metric] {
			t.Errorf("%s is shown twice", row.metric)
		}
		seen[row.metric] = true
	}
	for _, m := range []metric{
		mStart, mMemory, mAnonymous, mRuntimeMemory, mCPU, mRuntimeCPU, mCreateRate, mCreateLatency, mGetRate, mGetLatency,
		mListProtobuf, mListJSON, mUpdateRate, mUpdateLatency, mWatchRate, mPodRunning, mPodGone, mDeployment, mLoadedMemory,
		mLoadedAnonymous,
	} {
		if !seen[m] {
			t.Errorf("%s is not shown", m)
		}
	}
}

func TestWriteKeepsWhatPeopleWrote(t *testing.T) {
	tests := []struct {
		name, before, prefix, suffix string
		fails                        bool
	}{
		{name: "no document", prefix: "# Performance\n", suffix: "what would mend it.\n"},
		{
			name: "measured before", before: "mine\n" + beginMark + "\nold numbers\n" + endMark + "\n\n- my note\n",
			prefix: "mine\n", suffix: "\n\n- my note\n",
		},
		{name: "no marks", before: "mine\n", fails: true},
		{name: "only the first mark", before: beginMark + "\nmine\n", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "performance.md")
			if test.before != "" {
				if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := testReport().write(path); (err != nil) != test.fails {
				t.Fatalf("error %v, wanted one: %v", err, test.fails)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if test.fails {
				if string(data) != test.before {
					t.Errorf("the document was changed: %s", data)
				}
				return
			}
			text := string(data)
			if !strings.HasPrefix(text, test.prefix) || !strings.HasSuffix(text, test.suffix) {
				t.Errorf("what was around the marks is not there: %s", text)
			}
			if !strings.Contains(text, "| start to node Ready | 2.00 s | 6.00 s | 0.33 |") || strings.Contains(text, "old numbers") {
				t.Errorf("the table is not the new one: %s", text)
			}
		})
	}
}
