package nft

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Conn applies tables and changes to the network namespace it was opened in. Safe for concurrent use.
type Conn struct {
	mu   sync.Mutex
	conn *nftables.Conn
	port uint32
}

// chunk is how many elements go into one message: its attributes' length must fit 16 bits.
const chunk = 400

// Open opens a connection to the kernel in the calling thread's network namespace.
func Open() (*Conn, error) {
	c := &Conn{}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(nl *netlink.Conn) error {
		c.port = portOf(nl)
		// A full table is one message batch and gets an answer per message: neither may meet the default limit of 208 KiB.
		// Without the right to go above the limit the kernel gives what it may.
		_ = nl.SetWriteBuffer(16 << 20)
		_ = nl.SetReadBuffer(16 << 20)
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	c.conn = conn
	return c, nil
}

// portOf returns the socket's netlink address, which notifications name as the author of a change; 0 when unknown.
func portOf(nl *netlink.Conn) uint32 {
	raw, err := nl.SyscallConn()
	if err != nil {
		return 0
	}
	var port uint32
	_ = raw.Control(func(fd uintptr) {
		if sa, err := unix.Getsockname(int(fd)); err == nil {
			if nla, ok := sa.(*unix.SockaddrNetlink); ok {
				port = nla.Pid
			}
		}
	})
	return port
}

// Close closes the connection. What was applied stays.
func (c *Conn) Close() error { return c.conn.CloseLasting() }

// Replace makes the kernel's table equal to t in one transaction.
func (c *Conn) Replace(t *Table) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	table := kernelTable(t.Name)
	// Adding before deleting makes the deletion succeed whether the table was there or not.
	c.conn.AddTable(table)
	c.conn.DelTable(table)
	c.conn.AddTable(table)
	if err := c.queue(everything(t)); err != nil {
		return err
	}
	if err := c.conn.Flush(); err != nil {
		return fmt.Errorf("replacing nftables table %s: %w", t.Name, err)
	}
	return nil
}

// everything is the change that adds all of a table.
func everything(t *Table) *Change {
	ch := &Change{
		Table: t.Name, Sets: slices.Collect(maps.Values(t.Sets)), Chains: slices.Collect(maps.Values(t.Chains)),
		decl: t.Sets, Added: map[string][]Element{},
	}
	for set, m := range t.Elements {
		ch.Added[set] = slices.Collect(maps.Values(m))
	}
	return ch
}

// Apply performs a change in one transaction: all of it or, with an error, nothing.
func (c *Conn) Apply(ch *Change) error {
	if ch.Empty() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.queue(ch); err != nil {
		return err
	}
	if err := c.conn.Flush(); err != nil {
		return fmt.Errorf("changing nftables table %s: %w", ch.Table, err)
	}
	return nil
}

// Ensure adds the table, its sets, chains and elements where they are missing and sets the chains' rules, in one transaction.
// Unlike Replace it keeps elements that others added.
func (c *Conn) Ensure(t *Table) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.AddTable(kernelTable(t.Name))
	if err := c.queue(everything(t)); err != nil {
		return err
	}
	if err := c.conn.Flush(); err != nil {
		return fmt.Errorf("adding to nftables table %s: %w", t.Name, err)
	}
	return nil
}

// Delete removes the table; it is no error when there is none.
func (c *Conn) Delete(table string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.AddTable(kernelTable(table))
	c.conn.DelTable(kernelTable(table))
	if err := c.conn.Flush(); err != nil {
		return fmt.Errorf("deleting nftables table %s: %w", table, err)
	}
	return nil
}

// Has tells whether the table exists.
func (c *Conn) Has(table string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("listing nftables tables: %w", err)
	}
	return slices.ContainsFunc(all, func(t *nftables.Table) bool { return t.Name == table }), nil
}

// Elements reads the elements of a set, with those of dynamic sets.
func (c *Conn) Elements(table string, s Set) ([]Element, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, err := c.conn.GetSetElements(kernelSet(kernelTable(table), s))
	if err != nil {
		return nil, fmt.Errorf("reading nftables set %s: %w", s.Name, err)
	}
	out := make([]Element, 0, len(got))
	for _, e := range got {
		out = append(out, Element{Key: Tuple(e.Key), Data: Tuple(e.Val), Timeout: e.Expires})
	}
	return out, nil
}

// queue turns a change into messages. Nothing is sent before Flush.
func (c *Conn) queue(ch *Change) error {
	table := kernelTable(ch.Table)
	for i, s := range ch.Sets {
		set := kernelSet(table, s)
		// Of meaning within the transaction only. The library's own counter is not safe between connections.
		set.ID = uint32(i + 1)
		if err := c.conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("encoding set %s: %w", s.Name, err)
		}
	}
	for _, chain := range ch.Chains {
		c.conn.AddChain(kernelChain(table, chain))
	}
	for _, chain := range ch.Chains {
		k := &nftables.Chain{Name: chain.Name, Table: table}
		c.conn.FlushChain(k)
		for _, r := range chain.Rules {
			c.conn.AddRule(&nftables.Rule{Table: table, Chain: k, Exprs: r.Exprs})
		}
	}
	if err := c.queueElements(table, ch.decl, ch.Removed, c.conn.SetDeleteElements); err != nil {
		return err
	}
	if err := c.queueElements(table, ch.decl, ch.Added, c.conn.SetAddElements); err != nil {
		return err
	}
	for _, name := range ch.Gone {
		c.conn.FlushChain(&nftables.Chain{Name: name, Table: table})
	}
	for _, name := range ch.Gone {
		c.conn.DelChain(&nftables.Chain{Name: name, Table: table})
	}
	return nil
}

func (c *Conn) queueElements(table *nftables.Table, decl map[string]Set, m map[string][]Element,
	send func(*nftables.Set, []nftables.SetElement) error,
) error {
	for name, elements := range m {
		set := kernelSet(table, decl[name])
		for part := range slices.Chunk(elements, chunk) {
			items := make([]nftables.SetElement, len(part))
			for i, e := range part {
				items[i] = nftables.SetElement{Key: []byte(e.Key), Val: []byte(e.Data), Timeout: e.Timeout}
				if e.Goto != "" {
					items[i].VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: e.Goto}
				}
			}
			if err := send(set, items); err != nil {
				return fmt.Errorf("encoding elements of set %s: %w", name, err)
			}
		}
	}
	return nil
}

func kernelTable(name string) *nftables.Table {
	return &nftables.Table{Name: name, Family: nftables.TableFamilyINet}
}

func kernelSet(table *nftables.Table, s Set) *nftables.Set {
	k := &nftables.Set{
		Table: table, Name: s.Name, KeyType: kernelType(s.Key), KeyByteOrder: binaryutil.BigEndian,
		IsMap: s.Verdict || s.Data != nil, Dynamic: s.Dynamic, HasTimeout: s.Dynamic, Timeout: s.Timeout, Size: s.Size,
		Concatenation: len(s.Key) > 1,
	}
	switch {
	case s.Verdict:
		k.DataType = nftables.TypeVerdict
	case s.Data != nil:
		k.DataType = kernelType(s.Data)
	}
	return k
}

func kernelType(types []Type) nftables.SetDatatype {
	parts := make([]nftables.SetDatatype, len(types))
	for i, t := range types {
		switch t {
		case IPv4:
			parts[i] = nftables.TypeIPAddr
		case IPv6:
			parts[i] = nftables.TypeIP6Addr
		case Proto:
			parts[i] = nftables.TypeInetProto
		case Port:
			parts[i] = nftables.TypeInetService
		case Word:
			parts[i] = nftables.TypeMark
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	// The error is about more than five parts, which no set here has.
	joined, _ := nftables.ConcatSetType(parts...)
	return joined
}

func kernelChain(table *nftables.Table, c Chain) *nftables.Chain {
	k := &nftables.Chain{Name: c.Name, Table: table}
	if c.Base == nil {
		return k
	}
	k.Type = nftables.ChainType(c.Base.Type)
	k.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.Base.Priority))
	accept := nftables.ChainPolicyAccept
	k.Policy = &accept
	switch c.Base.Hook {
	case "prerouting":
		k.Hooknum = nftables.ChainHookRef(unix.NF_INET_PRE_ROUTING)
	case "input":
		k.Hooknum = nftables.ChainHookRef(unix.NF_INET_LOCAL_IN)
	case "forward":
		k.Hooknum = nftables.ChainHookRef(unix.NF_INET_FORWARD)
	case "output":
		k.Hooknum = nftables.ChainHookRef(unix.NF_INET_LOCAL_OUT)
	case "postrouting":
		k.Hooknum = nftables.ChainHookRef(unix.NF_INET_POST_ROUTING)
	}
	return k
}
