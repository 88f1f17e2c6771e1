package nft

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/expr"
)

// Type is the type of one part of a set's key or data. Each part fills whole 4 byte registers.
type Type int

// The types of keys and data.
const (
	IPv4 Type = iota + 1
	IPv6
	Proto
	Port
	// Word is a 32 bit number in host order (an identity or an index).
	Word
)

// String returns nft's name of the type.
func (t Type) String() string {
	switch t {
	case IPv4:
		return "ipv4_addr"
	case IPv6:
		return "ipv6_addr"
	case Proto:
		return "inet_proto"
	case Port:
		return "inet_service"
	case Word:
		return "mark"
	}
	return "invalid"
}

// width is the number of bytes a value of the type takes within a key.
func (t Type) width() int {
	if t == IPv6 {
		return 16
	}
	return 4
}

// AddrType returns the type of addresses like a.
func AddrType(a netip.Addr) Type {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Tuple is the wire form of a key or of data: its parts one after the other, each padded to whole registers. Comparable.
type Tuple string

// Addr appends an address.
func (t Tuple) Addr(a netip.Addr) Tuple { return t + Tuple(a.Unmap().AsSlice()) }

// Proto appends an IP protocol number.
func (t Tuple) Proto(p uint8) Tuple { return t + Tuple([]byte{p, 0, 0, 0}) }

// Port appends a port.
func (t Tuple) Port(p uint16) Tuple { return t + Tuple([]byte{byte(p >> 8), byte(p), 0, 0}) }

// Word appends a 32 bit number.
func (t Tuple) Word(w uint32) Tuple { return t + Tuple(binary.NativeEndian.AppendUint32(nil, w)) }

// Format renders the tuple as nft does, given the types of its parts.
func (t Tuple) Format(types []Type) string {
	parts := make([]string, 0, len(types))
	rest := []byte(t)
	for _, typ := range types {
		if len(rest) < typ.width() {
			return fmt.Sprintf("malformed %x", string(t))
		}
		parts = append(parts, formatPart(typ, rest[:typ.width()]))
		rest = rest[typ.width():]
	}
	return strings.Join(parts, " . ")
}

func formatPart(typ Type, b []byte) string {
	switch typ {
	case IPv4, IPv6:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case Proto:
		return ProtoName(b[0])
	case Port:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case Word:
		return fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(b))
	}
	return "?"
}

// ProtoName returns the lower case name of an IP protocol, or its number.
func ProtoName(p uint8) string {
	switch p {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// Set is the declaration of a set (no Data), a map (Data) or a verdict map (Verdict).
type Set struct {
	Name    string
	Key     []Type
	Data    []Type
	Verdict bool
	// Dynamic sets are filled by the packet path; their elements time out and are not part of a Table's elements.
	Dynamic bool
	Timeout time.Duration
	Size    uint32
}

// Element is an entry of a set. Data is empty for sets; Goto names the chain for verdict maps. Timeout is what is left to live
// of an element of a dynamic set.
type Element struct {
	Key     Tuple
	Data    Tuple
	Goto    string
	Timeout time.Duration
}

// Base makes a chain a base chain: it hangs on a hook of the packet path.
type Base struct {
	Type     string // filter or nat
	Hook     string // prerouting, input, forward, output or postrouting
	Priority int
}

// Rule is one rule: its text, which also is its identity when rules are compared, and its meaning.
type Rule struct {
	Text  string
	Exprs []expr.Any
}

// Chain is a chain with its rules.
type Chain struct {
	Name  string
	Base  *Base
	Rules []Rule
}

// sameRules tells whether two chains have the same rules, by their text.
func sameRules(a, b Chain) bool {
	return slices.EqualFunc(a.Rules, b.Rules, func(x, y Rule) bool { return x.Text == y.Text })
}

// Table is a whole table as a value.
type Table struct {
	Name     string
	Sets     map[string]Set
	Chains   map[string]Chain
	Elements map[string]map[Tuple]Element
}

// NewTable returns an empty table.
func NewTable(name string) *Table {
	return &Table{
		Name: name, Sets: map[string]Set{}, Chains: map[string]Chain{}, Elements: map[string]map[Tuple]Element{},
	}
}

// AddSet declares sets.
func (t *Table) AddSet(sets ...Set) {
	for _, s := range sets {
		t.Sets[s.Name] = s
	}
}

// AddChain adds or replaces a chain.
func (t *Table) AddChain(name string, base *Base, rules ...Rule) {
	t.Chains[name] = Chain{Name: name, Base: base, Rules: rules}
}

// Put adds or replaces an element of a set.
func (t *Table) Put(set string, e Element) {
	m := t.Elements[set]
	if m == nil {
		m = map[Tuple]Element{}
		t.Elements[set] = m
	}
	m[e.Key] = e
}

// Remove takes an element out of a set.
func (t *Table) Remove(set string, key Tuple) {
	delete(t.Elements[set], key)
	if len(t.Elements[set]) == 0 {
		delete(t.Elements, set)
	}
}

// Clone returns a copy that can be changed on its own. Rules and sets are shared: they are never changed in place.
func (t *Table) Clone() *Table {
	c := &Table{
		Name: t.Name, Sets: maps.Clone(t.Sets), Chains: maps.Clone(t.Chains),
		Elements: make(map[string]map[Tuple]Element, len(t.Elements)),
	}
	for name, m := range t.Elements {
		c.Elements[name] = maps.Clone(m)
	}
	return c
}

// String renders the table in nft's language, sorted, for golden files and messages.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", t.Name)
	for _, name := range slices.Sorted(maps.Keys(t.Sets)) {
		t.writeSet(&b, t.Sets[name])
	}
	for _, name := range slices.SortedFunc(maps.Keys(t.Chains), t.chainOrder) {
		c := t.Chains[name]
		fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
		if c.Base != nil {
			fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy accept;\n", c.Base.Type, c.Base.Hook, c.Base.Priority)
		}
		for _, r := range c.Rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.Text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// chainOrder puts base chains first.
func (t *Table) chainOrder(a, b string) int {
	if x, y := t.Chains[a].Base != nil, t.Chains[b].Base != nil; x != y {
		if x {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

func (t *Table) writeSet(b *strings.Builder, s Set) {
	kind, typ := "set", typeNames(s.Key)
	switch {
	case s.Verdict:
		kind, typ = "map", typ+" : verdict"
	case s.Data != nil:
		kind, typ = "map", typ+" : "+typeNames(s.Data)
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s\n", kind, s.Name, typ)
	if s.Dynamic {
		fmt.Fprintf(b, "\t\tsize %d\n\t\tflags dynamic,timeout\n", s.Size)
	}
	var lines []string
	for _, e := range t.Elements[s.Name] {
		lines = append(lines, e.format(s))
	}
	slices.Sort(lines)
	if len(lines) > 0 {
		fmt.Fprintf(b, "\t\telements = {\n\t\t\t%s\n\t\t}\n", strings.Join(lines, ",\n\t\t\t"))
	}
	b.WriteString("\t}\n")
}

func (e Element) format(s Set) string {
	text := e.Key.Format(s.Key)
	switch {
	case s.Verdict:
		text += " : goto " + e.Goto
	case s.Data != nil:
		text += " : " + e.Data.Format(s.Data)
	}
	return text
}

func typeNames(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return strings.Join(names, " . ")
}
