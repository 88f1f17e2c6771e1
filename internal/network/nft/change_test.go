package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"coracle.dev/coracle/internal/network/nettest"
)

func declared() *Table {
	t := NewTable("t")
	t.AddSet(
		Set{Name: "m", Key: []Type{IPv4, Proto, Port}, Verdict: true},
		Set{Name: "d", Key: []Type{Word}, Data: []Type{IPv6, Port}},
	)
	t.AddChain("base", &Base{"nat", "prerouting", -100}, NewRule(VerdictMap("m", IP.Daddr(), L4Proto(), Dport())))
	return t
}

func drawTable(rt *rapid.T) *Table {
	t := declared()
	for _, name := range []string{"a", "b", "c"} {
		if rapid.Bool().Draw(rt, "chain") {
			t.AddChain(name, nil, NewRule(SetMark(uint32(rapid.IntRange(1, 2).Draw(rt, "mark")))))
			for range rapid.IntRange(0, 2).Draw(rt, "elements") {
				ip := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(rt, "ip"))})
				key := Tuple("").Addr(ip).Proto(6).Port(80)
				t.Put("m", Element{Key: key, Goto: name})
			}
		}
	}
	for i := range uint32(rapid.IntRange(0, 3).Draw(rt, "data")) {
		port := uint16(rapid.IntRange(1, 2).Draw(rt, "port"))
		t.Put("d", Element{Key: Tuple("").Word(i), Data: Tuple("").Addr(netip.MustParseAddr("fd00::1")).Port(port)})
	}
	return t
}

func TestDiffLeadsThere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := drawTable(rt), drawTable(rt)
		change, ok := Diff(from, to)
		if !ok {
			rt.Fatal("the sets are the same")
		}
		got := from.Clone()
		change.Apply(got)
		if got.String() != to.String() {
			rt.Fatalf("got:\n%s\nwant:\n%s\nby:\n%s", got, to, change)
		}
		if again, _ := Diff(got, to); !again.Empty() {
			rt.Fatalf("still to do:\n%s", again)
		}
	})
}

// TestKernelAcceptsChanges walks random tables in a real kernel: each change is taken, and the elements are what they should be.
func TestKernelAcceptsChanges(t *testing.T) {
	nettest.RequireRoot(t)
	ns := nettest.NewNS(t)
	ns.Do(t, func() error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		rapid.Check(t, func(rt *rapid.T) {
			now := declared()
			if err := c.Replace(now); err != nil {
				rt.Fatal(err)
			}
			for range 4 {
				next := drawTable(rt)
				change, _ := Diff(now, next)
				if err := c.Apply(change); err != nil {
					rt.Fatalf("%v\nfrom:\n%s\nby:\n%s", err, now, change)
				}
				now = next
				for name, s := range now.Sets {
					got, err := c.Elements("t", s)
					if err != nil || len(got) != len(now.Elements[name]) {
						rt.Fatalf("%s: %v %v", name, got, err)
					}
					for _, e := range got {
						if want := now.Elements[name][e.Key]; want.Goto == "" && want.Data != e.Data {
							rt.Fatalf("%s: got %v, want %v", name, e, want)
						}
					}
				}
			}
		})
		return nil
	})
}

func TestDiffRefusesOtherSets(t *testing.T) {
	other := declared()
	other.AddSet(Set{Name: "m", Key: []Type{IPv6}, Verdict: true})
	if _, ok := Diff(declared(), other); ok {
		t.Error("a set's type cannot be changed")
	}
	fewer := declared()
	delete(fewer.Sets, "d")
	if _, ok := Diff(declared(), fewer); ok {
		t.Error("a set cannot be taken away")
	}
}

func TestFailedChangeChangesNothing(t *testing.T) {
	nettest.RequireRoot(t)
	nettest.NewNS(t).Do(t, func() error {
		c, err := Open()
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.Replace(declared()); err != nil {
			return err
		}
		change := NewChange(declared())
		change.Added = map[string][]Element{"d": {{Key: Tuple("").Word(1), Data: Tuple("").Addr(netip.IPv6Loopback()).Port(1)}}}
		change.Gone = []string{"missing"}
		if err := c.Apply(change); err == nil {
			t.Error("a chain that is not there was deleted")
		}
		got, err := c.Elements("t", declared().Sets["d"])
		if err != nil || len(got) != 0 {
			t.Errorf("half of a change was applied: %v %v", got, err)
		}
		return c.Apply(NewChange(declared())) // the connection still works
	})
}

// TestSharedClaims: a chain that two owners claim lives as long as one of them; of two elements the older owner's counts.
func TestSharedClaims(t *testing.T) {
	f := NewFragments(declared())
	key := Tuple("").Word(1)
	fragment := func(age int64, port uint16) Fragment {
		frag := Fragment{Age: age}
		frag.Chain("shared", NewRule(Drop()))
		frag.Put("d", Element{Key: key, Data: Tuple("").Addr(netip.IPv6Loopback()).Port(port)})
		return frag
	}
	state := func() string {
		f.Take()
		_, there := f.Table().Chains["shared"]
		return fmt.Sprint(there, " ", f.Table().Elements["d"][key].Data.Format([]Type{IPv6, Port}))
	}
	f.Set("b", fragment(1, 1))
	f.Set("a", fragment(2, 2))
	if got := state(); got != "true ::1 . 1" {
		t.Errorf("two owners: %s", got)
	}
	f.Delete("b")
	if got := state(); got != "true ::1 . 2" {
		t.Errorf("one owner: %s", got)
	}
	f.Delete("a")
	if got := state(); !strings.HasPrefix(got, "false malformed") {
		t.Errorf("no owner: %s", got)
	}
}

func TestTupleFormat(t *testing.T) {
	tuple := Tuple("").Addr(netip.MustParseAddr("10.0.0.1")).Proto(17).Port(53).Word(7)
	tuple = tuple.Addr(netip.MustParseAddr("fd00::1")).Proto(99)
	want := "10.0.0.1 . udp . 53 . 0x00000007 . fd00::1 . 99"
	if got := tuple.Format([]Type{IPv4, Proto, Port, Word, IPv6, Proto}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzConcerns feeds arbitrary notifications.
func FuzzConcerns(f *testing.F) {
	attr := func(typ uint16, data string) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
		b = binary.NativeEndian.AppendUint16(b, typ)
		return append(b, data...)
	}
	f.Add(uint16(unix.NFT_MSG_DELTABLE), append(make([]byte, 4), attr(1, "t\x00\x00\x00")...))
	f.Add(uint16(unix.NFT_MSG_NEWRULE), append(append(make([]byte, 4), attr(2, "abcd")...), attr(1, "t\x00")...))
	f.Fuzz(func(_ *testing.T, typ uint16, data []byte) {
		header := netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ&0xff)}
		concerns(netlink.Message{Header: header, Data: data}, "t")
	})
}

func TestConcerns(t *testing.T) {
	message := func(subsystem, typ int, table string) netlink.Message {
		data := append(make([]byte, 4), 0, 0, 0, 0)
		binary.NativeEndian.PutUint16(data[4:], uint16(4+len(table)+1))
		binary.NativeEndian.PutUint16(data[6:], 1)
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(subsystem<<8 | typ)}, Data: append(append(data, table...), 0),
		}
	}
	for _, c := range []struct {
		name string
		m    netlink.Message
		want bool
	}{
		{"our table", message(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_DELTABLE, "t"), true},
		{"our rule", message(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_NEWRULE, "t"), true},
		{"another table", message(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_DELTABLE, "tt"), false},
		{"end of a transaction", message(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_NEWGEN, "t"), false},
		{"another subsystem", message(unix.NFNL_SUBSYS_CTNETLINK, 0, "t"), false},
	} {
		if got := concerns(c.m, "t"); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
