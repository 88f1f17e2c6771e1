package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	coracle, upstream, doc, commit string
	only                           []string
	runs                           int
	skipUpstream, skipCoracle      bool
	settle, window                 time.Duration
	objects, clients, watchers     int
	pods, replicas                 int
	keep                           bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == nodeCommand {
		err = runNode(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	} else {
		err = run(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (*options, error) {
	o := &options{}
	only := ""
	flag.StringVar(&o.coracle, "coracle", "../../bin/coracle", "Coracle's binary")
	flag.StringVar(&o.upstream, "upstream", "bin/upstream", "folder of upstream's programs")
	flag.StringVar(&o.doc, "doc", "", "document to write the table into (none: only print it)")
	flag.StringVar(&o.commit, "commit", "", "the commit that is measured, for the document")
	flag.StringVar(&only, "only", "", "measurements to make, of "+strings.Join(groups(), ", ")+" (default: all)")
	flag.IntVar(&o.runs, "runs", 3, "how many times each system is started and measured; medians are shown")
	flag.BoolVar(&o.skipUpstream, "skip-upstream", false, "measure only Coracle")
	flag.BoolVar(&o.skipCoracle, "skip-coracle", false, "measure only upstream")
	flag.DurationVar(&o.settle, "settle", 45*time.Second, "how long a new cluster is left alone before memory is read")
	flag.DurationVar(&o.window, "window", 30*time.Second, "how long the idle cluster's processor time is counted")
	flag.IntVar(&o.objects, "objects", 5000, "how many ConfigMaps")
	flag.IntVar(&o.clients, "clients", 32, "how many clients at once")
	flag.IntVar(&o.watchers, "watchers", 20, "how many watchers")
	flag.IntVar(&o.pods, "pods", 15, "how many single pods, one after the other")
	flag.IntVar(&o.replicas, "replicas", 30, "replicas of the Deployment")
	flag.BoolVar(&o.keep, "keep", false, "leave the last cluster running, to look at it")
	flag.Parse()
	for _, name := range strings.FieldsFunc(only, func(r rune) bool { return r == ',' }) {
		if !slices.Contains(groups(), name) {
			return nil, fmt.Errorf("-only: %q is none of %s", name, strings.Join(groups(), ", "))
		}
		o.only = append(o.only, name)
	}
	if o.runs < 1 || o.objects < 1 || o.clients < 1 || o.watchers < 1 || o.pods < 1 || o.replicas < 1 {
		return nil, errors.New("counts must be at least 1")
	}
	return o, nil
}

// wants tells whether a group of measurements is asked for.
func (o *options) wants(group string) bool { return len(o.only) == 0 || slices.Contains(o.only, group) }

func run(ctx context.Context) error {
	o, err := parse()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/lib", "coracle-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the clusters: %w", err)
	}
	if !o.keep {
		defer os.RemoveAll(dir)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("making a folder for the clusters: %w", err)
	}
	systems, err := prepare(ctx, o, dir)
	if err != nil {
		return err
	}
	r := newReport(o)
	for i := range o.runs {
		for _, s := range systems {
			fmt.Fprintf(os.Stderr, "%s, run %d of %d\n", s.title(), i+1, o.runs)
			if err := measure(ctx, o, s, r.column(s.title())); err != nil {
				return fmt.Errorf("%s: %w", s.title(), err)
			}
		}
	}
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if o.doc == "" {
		return nil
	}
	return r.write(o.doc)
}

// prepare makes what both systems need and returns those that are to be measured.
func prepare(ctx context.Context, o *options, dir string) ([]system, error) {
	var err error
	if o.coracle, err = filepath.Abs(o.coracle); err != nil {
		return nil, fmt.Errorf("finding Coracle's binary: %w", err)
	}
	programs, err := unpackPrograms(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := buildImage(ctx, o.coracle, dir); err != nil {
		return nil, err
	}
	suffix := fmt.Sprintf("-%d", os.Getpid())
	var systems []system
	if !o.skipCoracle {
		systems = append(systems, &ours{binary: o.coracle, dir: dir, name: "bench" + suffix})
	}
	if !o.skipUpstream {
		theirs := &upstream{dir: dir, name: "bench-upstream" + suffix, programs: programs}
		if err := theirs.gather(o.upstream); err != nil {
			return nil, err
		}
		systems = append(systems, theirs)
	}
	return systems, nil
}

// measure starts a system once, measures it and removes it.
func measure(ctx context.Context, o *options, s system, into *column) (err error) {
	c, took, err := s.start(ctx)
	if !o.keep {
		defer func() {
			// ctx may have ended; what was made is removed all the same.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, s.stop(ctx))
		}()
	}
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	into.add(mStart, seconds(took))
	steps := []struct {
		group string
		do    func(context.Context, *options, *cluster, *column) error
	}{
		{"idle", measureIdle},
		{"api", measureAPI},
		{"pods", measurePods},
		{"deployment", measureDeployment},
		{"loaded", measureLoaded},
	}
	for _, step := range steps {
		if !o.wants(step.group) {
			continue
		}
		fmt.Fprintf(os.Stderr, "  %s\n", step.group)
		if err := step.do(ctx, o, c, into); err != nil {
			return fmt.Errorf("measuring %s: %w", step.group, err)
		}
	}
	return nil
}

func groups() []string { return []string{"start", "idle", "api", "pods", "deployment", "loaded"} }

func seconds(d time.Duration) float64 { return d.Seconds() }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
