package cni

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"coracle.dev/coracle/internal/network/nettest"
)

// TestMain lets the test binary be the plugin when it is run as one.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		Main()
		return
	}
	os.Exit(m.Run())
}

// run runs the plugin as a process in the node's namespace, as a runtime does.
func (n *node) run(t *testing.T, command, id string, pod *nettest.NS, extra map[string]any) (string, error) {
	t.Helper()
	args := n.args(t, id, pod, extra)
	cmd := exec.Command("/proc/self/exe")
	cmd.Stdin = bytes.NewReader(args.StdinData)
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Env = []string{"CNI_COMMAND=" + command, "CNI_PATH=/nowhere"}
	if id != "" {
		cmd.Env = append(cmd.Env, "CNI_CONTAINERID="+id, "CNI_IFNAME=eth0", "CNI_NETNS="+args.Netns)
	}
	err := n.ns.Run(cmd.Run)
	return out.String(), err
}

// TestProtocol goes through a pod's life by the runtime's protocol.
func TestProtocol(t *testing.T) {
	n := newNode(t, "10.42.3.0/24")
	pod := nettest.NewNS(t)
	step := func(command, id, want string) string {
		t.Helper()
		out, err := n.run(t, command, id, pod, nil)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		return out
	}
	step("VERSION", "", `"1.1.0"`)
	step("STATUS", "", "")
	var result struct {
		CNIVersion string
		IPs        []struct {
			Address, Gateway string
			Interface        int
		}
		Interfaces []struct{ Name, Mac, Sandbox string }
	}
	if err := json.Unmarshal([]byte(step("ADD", "a", "10.42.3.1/32")), &result); err != nil {
		t.Fatal(err)
	}
	if result.CNIVersion != SpecVersion || result.IPs[0].Gateway != "169.254.1.1" ||
		result.Interfaces[result.IPs[0].Interface].Sandbox != pod.Path() {
		t.Errorf("result: %+v", result)
	}
	step("CHECK", "a", "")
	step("GC", "", "") // nothing is valid: the attachment goes
	if out, err := n.run(t, "CHECK", "a", pod, nil); err == nil || !strings.Contains(out, `"code"`) {
		t.Errorf("CHECK after GC: %v %s", err, out)
	}
	step("DEL", "a", "")
	if out, err := n.run(t, "ADD", "a", nil, nil); err == nil || !strings.Contains(out, `"code"`) {
		t.Errorf("ADD without a namespace: %v %s", err, out)
	}
}
