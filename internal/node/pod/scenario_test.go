package pod

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var rewrite = flag.Bool("rewrite", false, "write what the functions answer into the scenario files")

// start is the time that scenario files count seconds from.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScenarios plays the files of testdata. A file is a pod and steps; a step is what is observed (in a line language, see
// observe) and, after "--", what Next and Status answer. The status of a step is the Last of the following one.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "\n== ")
	var p v1.Pod
	if err := yaml.UnmarshalStrict([]byte(parts[0]), &p); err != nil {
		t.Fatalf("reading the pod: %v", err)
	}
	var last v1.PodStatus
	out := parts[0]
	for _, part := range parts[1:] {
		title, body, _ := strings.Cut(part, "\n")
		given, want, _ := strings.Cut(body, "--\n")
		pod := p.DeepCopy()
		o := &Observed{
			Now: epoch, Runtime: "fake", NetworkReady: true, HostIPs: []string{"192.0.2.1"}, Last: *last.DeepCopy(),
			Probes: map[string]Probes{}, Starting: map[string]int32{}, Trouble: map[string]Trouble{}, Backoff: map[string]Backoff{},
		}
		for _, line := range strings.Split(strings.TrimSpace(given), "\n") {
			if err := observe(pod, o, strings.Fields(line)); err != nil {
				t.Fatalf("%s: line %q: %v", title, line, err)
			}
		}
		plan := Next(pod, o)
		status := Status(pod, o)
		got := render(&plan, &status)
		if want = strings.TrimRight(want, "\n"); !*rewrite && got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", title, got, want)
		}
		last = status
		out += "\n== " + title + "\n" + strings.TrimRight(given, "\n") + "\n--\n" + got + "\n"
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func render(plan *Plan, s *v1.PodStatus) string {
	var b strings.Builder
	for _, op := range plan.Ops {
		fmt.Fprintln(&b, op)
	}
	if !plan.Again.IsZero() {
		fmt.Fprintf(&b, "again at %ds\n", int(plan.Again.Sub(epoch).Seconds()))
	}
	fmt.Fprintf(&b, "status: %s", s.Phase)
	if s.PodIP != "" {
		fmt.Fprintf(&b, " %s", s.PodIP)
	}
	if s.Reason != "" {
		fmt.Fprintf(&b, " reason=%s message=%q", s.Reason, s.Message)
	}
	for _, c := range s.Conditions {
		if c.Type != v1.PodScheduled && c.Status == v1.ConditionTrue {
			fmt.Fprintf(&b, " %s", c.Type)
		}
	}
	for _, list := range [][]v1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses} {
		for _, c := range list {
			fmt.Fprintf(&b, "\n  %s: %s", c.Name, stateText(c.State))
			if c.LastTerminationState.Terminated != nil {
				fmt.Fprintf(&b, " (before: %s)", stateText(c.LastTerminationState))
			}
			if c.Ready {
				b.WriteString(" ready")
			}
			if c.RestartCount > 0 {
				fmt.Fprintf(&b, " restarts=%d", c.RestartCount)
			}
		}
	}
	return b.String()
}

func stateText(s v1.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Terminated != nil:
		return fmt.Sprintf("%s %d", s.Terminated.Reason, s.Terminated.ExitCode)
	case s.Waiting != nil && s.Waiting.Message != "":
		return fmt.Sprintf("%s %q", s.Waiting.Reason, s.Waiting.Message)
	case s.Waiting != nil:
		return s.Waiting.Reason
	}
	return "none"
}

// observe applies one line of a step. The newest containers and sandboxes come first.
func observe(p *v1.Pod, o *Observed, f []string) error {
	if len(f) == 0 {
		return nil
	}
	kv := map[string]string{}
	for _, w := range f[1:] {
		k, v, _ := strings.Cut(w, "=")
		kv[k] = v
	}
	_, has := kv["none"]
	switch f[0] {
	case "now":
		o.Now = at(f[1])
	case "mounted":
		o.Mounted = true
	case "mount-failed":
		o.MountWait = Wait{Message: "no", Retry: at(kv["retry"])}
	case "sandbox-failed":
		o.SandboxWait = Wait{Message: "no", Retry: at(kv["retry"])}
	case "no-network":
		o.NetworkReady = false
	case "released":
		o.Released = true
	case "reported":
		o.Reported = true
	case "gone":
		o.Gone = true
	case "ended-at":
		o.EndedAt = at(f[1])
	case "deleted":
		ts := metav1.NewTime(o.Now)
		grace, _ := strconv.ParseInt(kv["grace"], 10, 64)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &ts, &grace
	case "image":
		p.Spec.Containers[0].Image = f[1]
	case "end":
		o.End = &End{Reason: f[1], Message: strings.Join(f[2:], " ")}
	case "sandbox":
		attempt, _ := strconv.Atoi(kv["attempt"])
		_, ready := kv["ready"]
		_, stopped := kv["stopped"]
		s := Sandbox{ID: f[1], Attempt: uint32(attempt), Ready: ready, Stopped: stopped}
		if ip := kv["ip"]; ip != "" {
			s.IPs = []string{ip}
		}
		o.Sandboxes = append(o.Sandboxes, s)
	case "container":
		return observeContainer(p, o, f, kv)
	case "probe":
		word := map[string]Result{"success": Success, "failure": Failure}
		o.Probes[f[1]] = Probes{Startup: word[kv["startup"]], Liveness: word[kv["liveness"]], Readiness: word[kv["readiness"]]}
	case "starting":
		n, _ := strconv.Atoi(kv["attempt"])
		o.Starting[f[1]] = int32(n)
	case "trouble":
		o.Trouble[f[1]] = Trouble{Reason: f[2], Message: "because", At: at(kv["at"]), Retry: at(kv["retry"])}
	case "backoff":
		d, err := time.ParseDuration(kv["delay"])
		o.Backoff[f[1]] = Backoff{Delay: d, Begun: at(kv["begun"])}
		return err
	default:
		return fmt.Errorf("unknown word %s %v", f[0], has)
	}
	return nil
}

// observeContainer reads "container ID NAME SANDBOX STATE key=value...".
func observeContainer(p *v1.Pod, o *Observed, f []string, kv map[string]string) error {
	states := map[string]State{"created": Created, "running": Running, "exited": Exited, "unknown": Unknown}
	state, ok := states[f[4]]
	if !ok {
		return fmt.Errorf("unknown state %q", f[4])
	}
	code, _ := strconv.Atoi(kv["code"])
	restarts, _ := strconv.Atoi(kv["restarts"])
	c := Container{
		ID: f[1], Name: f[2], SandboxID: f[3], State: state, Restarts: int32(restarts), ExitCode: int32(code),
		Reason: kv["reason"], Started: at(kv["started"]), Finished: at(kv["finished"]), Hash: kv["hash"],
		Created: at(kv["started"]),
	}
	if e, found := Find(p, c.Name); found && c.Hash == "" {
		c.Hash = SpecHash(e.Container)
	}
	o.Containers = append(o.Containers, c)
	return nil
}

func at(s string) time.Time {
	d, err := time.ParseDuration(s)
	if err != nil {
		return epoch
	}
	return epoch.Add(d)
}
