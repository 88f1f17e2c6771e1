package config

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func parseServer(args ...string) (Server, error) {
	s := DefaultServer("Machine")
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	s.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.Validate()
}

func parseAgent(args ...string) (Agent, error) {
	a := DefaultAgent("machine")
	flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	a.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return a, err
	}
	return a, a.Validate()
}

func TestServerFlags(t *testing.T) {
	tests := []struct {
		args string
		// want is a part of the error; empty means that there is none.
		want string
	}{
		{"", ""},
		{"--etcd-endpoints=https://a:2379,https://b:2379 --etcd-certfile=/c --etcd-keyfile=/k", ""},
		{"--disable=scheduler,controllers,agent --tls-san=a.example,10.0.0.1,*.b.example", ""},
		{"--cluster-cidr=10.0.0.0/8 --service-cidr=172.16.0.0/16 --cluster-dns=172.16.0.10", ""},
		{"--node-label=a=b,c/d=e --node-taint=x=y:NoSchedule,z:NoExecute --capacity=cpu=2,memory=1Gi", ""},
		{"--data-dir=relative", "--data-dir"},
		{"--log-format=xml", "--log-format"},
		{"--log-level=loud", "--log-level"},
		{"--node-name=UPPER", "--node-name"},
		{"--node-ip=127.0.0.1", "--node-ip"},
		{"--node-ip=nowhere", "no address"},
		{"--kubelet-port=0", "--kubelet-port: 0"},
		{"--kubelet-port=6443", "is the API server's"},
		{"--secure-port=30001", "in the range of node ports"},
		{"--secure-port=70000", "--secure-port"},
		{"--max-pods=0", "--max-pods"},
		{"--node-label=a=b!", "--node-label"},
		{"--node-taint=a=b:Never", "KEY[=VALUE]:EFFECT"},
		{"--capacity=cpu=lots", "NAME=QUANTITY"},
		{"--capacity=cpu=-1", "NAME=QUANTITY"},
		{"--snapshotter=zfs", "--snapshotter"},
		{"--overlay=ipip", "neither"},
		{"--cluster-cidr=10.42.0.1/16", "is an address in the range 10.42.0.0/16"},
		{"--cluster-cidr=10.42.0.0/28", "too small"},
		{"--cluster-cidr=10.43.0.0/16", "overlaps"},
		{"--cluster-cidr=fd00::/64", "not an IPv4 range"},
		{"--service-cidr=10.0.0.0/8", "between"},
		{"--cluster-dns=10.44.0.10", "--cluster-dns"},
		{"--cluster-domain=a_b", "--cluster-domain"},
		{"--service-node-port-range=5", "no range of ports"},
		{"--service-node-port-range=9-5", "no range of ports"},
		{"--etcd-endpoints=a:2379", "--etcd-endpoints"},
		{"--etcd-certfile=/c", "belong together"},
		{"--tls-san=a_b", "--tls-san"},
		{"--disable=everything", "--disable"},
		{"--advertise-address=0.0.0.0", "--advertise-address"},
		{"--server=https://a", "unknown flag"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			_, err := parseServer(strings.Fields(tt.args)...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestServerValues(t *testing.T) {
	s, err := parseServer(strings.Fields(
		"--capacity=cpu=2 --node-taint=a=b:NoSchedule --node-taint=c:NoExecute --node-ip=10.0.0.1 " +
			"--service-node-port-range=31000-31999")...)
	if err != nil {
		t.Fatal(err)
	}
	if s.NodeName != "machine" {
		t.Errorf("the node is called %q", s.NodeName)
	}
	if cpu := s.Capacity["cpu"]; cpu.String() != "2" {
		t.Errorf("the capacity is %v", s.Capacity)
	}
	if len(s.Taints) != 2 || s.Taints[1].Key != "c" {
		t.Errorf("the taints are %v", s.Taints)
	}
	if s.NodeIP != netip.MustParseAddr("10.0.0.1") || s.NodePorts != (PortRange{31000, 31999}) {
		t.Errorf("the values are %s, %s", s.NodeIP, s.NodePorts)
	}
}

func TestAgentFlags(t *testing.T) {
	tests := []struct{ args, want string }{
		{"--server=https://10.0.0.1:6443 --token=x", ""},
		{"--server=https://10.0.0.1:6443", ""}, // It may have joined before.
		{"", "--server"},
		{"--server=http://10.0.0.1:6443", "--server"},
		{"--server=https://", "--server"},
		{"--server=https://a --token=x --token-file=/y", "exclude"},
		{"--server=https://a --disable=agent", "unknown flag"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			_, err := parseAgent(strings.Fields(tt.args)...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
