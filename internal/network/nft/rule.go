package nft

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: loads start at keyReg, looked-up data goes to dataReg. The kernel has sixteen 4 byte registers from
// NFT_REG32_00; the longest key (two IPv6 addresses, protocol and port) takes ten and the longest data five.
const (
	keyReg  = unix.NFT_REG32_00
	dataReg = unix.NFT_REG32_10
)

// Part is a piece of a rule: a match or a statement.
type Part struct {
	text  string
	exprs []expr.Any
}

// NewRule joins parts, left to right.
func NewRule(parts ...Part) Rule {
	var r Rule
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		texts = append(texts, p.text)
		r.Exprs = append(r.Exprs, p.exprs...)
	}
	r.Text = strings.Join(texts, " ")
	return r
}

// Field is something a rule reads from the packet or makes up, as wide as a whole number of registers.
type Field struct {
	text string
	regs uint32
	load func(reg uint32) []expr.Any
}

// Family names the IP family of rules and fields.
type Family bool

// The two families.
const (
	IP  Family = false
	IP6 Family = true
)

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family { return Family(!a.Unmap().Is4()) }

// Of returns the prefixes of the family, without host bits.
func (f Family) Of(ps []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range ps {
		if FamilyOf(p.Addr()) == f {
			out = append(out, p.Masked())
		}
	}
	return out
}

// String returns nft's keyword.
func (f Family) String() string {
	if f == IP6 {
		return "ip6"
	}
	return "ip"
}

// Suffix is "4" or "6", for names of sets.
func (f Family) Suffix() string {
	if f == IP6 {
		return "6"
	}
	return "4"
}

// AddrType is the family's address type.
func (f Family) AddrType() Type {
	if f == IP6 {
		return IPv6
	}
	return IPv4
}

func (f Family) proto() byte {
	if f == IP6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

func (f Family) addrField(name string, offset4, offset6 uint32) Field {
	offset, size := offset4, uint32(4)
	if f == IP6 {
		offset, size = offset6, 16
	}
	return Field{text: f.String() + " " + name, regs: size / 4, load: func(reg uint32) []expr.Any {
		return []expr.Any{&expr.Payload{
			DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size,
		}}
	}}
}

// Saddr is the packet's source address.
func (f Family) Saddr() Field { return f.addrField("saddr", 12, 8) }

// Daddr is the packet's destination address.
func (f Family) Daddr() Field { return f.addrField("daddr", 16, 24) }

// L4Proto is the packet's transport protocol.
func L4Proto() Field {
	return Field{text: "meta l4proto", regs: 1, load: func(reg uint32) []expr.Any {
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}}
	}}
}

// Dport is the packet's destination port.
func Dport() Field {
	return Field{text: "th dport", regs: 1, load: func(reg uint32) []expr.Any {
		return []expr.Any{&expr.Payload{
			DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2,
		}}
	}}
}

// Random is a random number from offset to below offset + mod.
func Random(mod, offset uint32) Field {
	text := fmt.Sprintf("numgen random mod %d", mod)
	if offset > 0 {
		text += fmt.Sprintf(" offset %d", offset)
	}
	return Field{text: text, regs: 1, load: func(reg uint32) []expr.Any {
		return []expr.Any{&expr.Numgen{Register: reg, Modulus: mod, Type: unix.NFT_NG_RANDOM, Offset: offset}}
	}}
}

// concat loads the fields one after the other, from keyReg on.
func concat(fields []Field) (string, []expr.Any) {
	reg := uint32(keyReg)
	var texts []string
	var exprs []expr.Any
	for _, f := range fields {
		texts = append(texts, f.text)
		exprs = append(exprs, f.load(reg)...)
		reg += f.regs
	}
	return strings.Join(texts, " . "), exprs
}

// IsFamily matches packets of the family.
func IsFamily(f Family) Part {
	text := "meta nfproto ipv4"
	if f == IP6 {
		text = "meta nfproto ipv6"
	}
	return Part{text, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: keyReg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: keyReg, Data: []byte{f.proto()}},
	}}
}

// IsProto matches packets of the transport protocol.
func IsProto(p uint8) Part {
	return Part{"meta l4proto " + ProtoName(p), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: keyReg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: keyReg, Data: []byte{p}},
	}}
}

// In matches when the concatenated fields are in the set.
func In(set string, fields ...Field) Part { return lookup(set, false, fields) }

// NotIn matches when the concatenated fields are not in the set.
func NotIn(set string, fields ...Field) Part { return lookup(set, true, fields) }

func lookup(set string, invert bool, fields []Field) Part {
	text, exprs := concat(fields)
	op := " @"
	if invert {
		op = " != @"
	}
	return Part{text + op + set, append(exprs, &expr.Lookup{SourceRegister: keyReg, SetName: set, Invert: invert})}
}

// VerdictMap looks the concatenated fields up and does what the map says. A rule goes on when there is no entry.
func VerdictMap(set string, fields ...Field) Part {
	text, exprs := concat(fields)
	return Part{text + " vmap @" + set, append(exprs, &expr.Lookup{
		SourceRegister: keyReg, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set,
	})}
}

// Within matches a field, an address, against a prefix.
func Within(f Field, p netip.Prefix) Part { return prefix(f, p, expr.CmpOpEq) }

// NotWithin matches addresses outside a prefix.
func NotWithin(f Field, p netip.Prefix) Part { return prefix(f, p, expr.CmpOpNeq) }

func prefix(f Field, p netip.Prefix, op expr.CmpOp) Part {
	p = p.Masked()
	size := p.Addr().BitLen() / 8
	exprs := f.load(keyReg)
	if p.Bits() < p.Addr().BitLen() {
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: keyReg, DestRegister: keyReg, Len: uint32(size),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()), Xor: make([]byte, size),
		})
	}
	exprs = append(exprs, &expr.Cmp{Op: op, Register: keyReg, Data: p.Addr().AsSlice()})
	text := f.text + " "
	if op == expr.CmpOpNeq {
		text += "!= "
	}
	if p.IsSingleIP() {
		text += p.Addr().String()
	} else {
		text += p.String()
	}
	return Part{text, exprs}
}

// DaddrLocal matches packets to one of this machine's own addresses.
func DaddrLocal() Part {
	return Part{"fib daddr type local", []expr.Any{
		&expr.Fib{Register: keyReg, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: keyReg, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}}
}

// SaddrLocal matches packets from one of this machine's own addresses.
func SaddrLocal() Part {
	return Part{"fib saddr type local", []expr.Any{
		&expr.Fib{Register: keyReg, FlagSADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: keyReg, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}}
}

// InterfaceIsNot matches packets that did not come in by (in) or do not leave by (out) the named interface.
func InterfaceIsNot(in bool, name string) Part {
	key, text := expr.MetaKeyOIFNAME, "oifname"
	if in {
		key, text = expr.MetaKeyIIFNAME, "iifname"
	}
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return Part{fmt.Sprintf("%s != %q", text, name), []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: padded},
	}}
}

// Translated matches packets of connections whose destination was translated.
func Translated() Part {
	const dstNAT = 1 << 5 // IPS_DST_NAT
	return Part{"ct status dnat", []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: keyReg},
		bitwise(dstNAT, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: keyReg, Data: make([]byte, 4)},
	}}
}

// IsNew matches packets that begin a connection.
func IsNew() Part {
	const stateNew = 1 << 3
	return Part{"ct state new", []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: keyReg},
		bitwise(stateNew, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: keyReg, Data: make([]byte, 4)},
	}}
}

func bitwise(mask, xor uint32) expr.Any {
	return &expr.Bitwise{
		SourceRegister: keyReg, DestRegister: keyReg, Len: 4,
		Mask: binary.NativeEndian.AppendUint32(nil, mask), Xor: binary.NativeEndian.AppendUint32(nil, xor),
	}
}

// HasMark matches packets with the bit set in their mark.
func HasMark(bit uint32) Part {
	return Part{fmt.Sprintf("meta mark & 0x%x != 0", bit), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: keyReg},
		bitwise(bit, 0),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: keyReg, Data: make([]byte, 4)},
	}}
}

// SetMark sets the bit in the packet's mark.
func SetMark(bit uint32) Part {
	return Part{fmt.Sprintf("meta mark set meta mark | 0x%x", bit), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: keyReg},
		bitwise(^bit, bit),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: keyReg},
	}}
}

// ClearMark clears the bit in the packet's mark.
func ClearMark(bit uint32) Part {
	return Part{fmt.Sprintf("meta mark set meta mark & 0x%x", ^bit), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: keyReg},
		bitwise(^bit, 0),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: keyReg},
	}}
}

// Find looks the concatenated fields up in a map and keeps the data for DNAT or Remember. A rule without a match ends there.
func Find(set string, fields ...Field) Part {
	text, exprs := concat(fields)
	return Part{"to " + text + " map @" + set, append(exprs, &expr.Lookup{
		SourceRegister: keyReg, DestRegister: dataReg, IsDestRegSet: true, SetName: set,
	})}
}

// Remember writes the data that Find left into a dynamic map under the concatenated fields, or renews the entry that is there.
func Remember(set string, timeout time.Duration, fields ...Field) Part {
	text, exprs := concat(fields)
	return Part{fmt.Sprintf("update @%s { %s timeout %s }", set, text, timeout), append(exprs, &expr.Dynset{
		SrcRegKey: keyReg, SrcRegData: dataReg, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: timeout,
	})}
}

// DNAT sends the connection to the address and port that Find left.
func DNAT(f Family) Part {
	port := uint32(dataReg + 1)
	if f == IP6 {
		port = dataReg + 4
	}
	return Part{"dnat " + f.String(), []expr.Any{&expr.NAT{
		Type: expr.NATTypeDestNAT, Family: uint32(f.proto()), RegAddrMin: dataReg, RegProtoMin: port, Specified: true,
	}}}
}

// SNAT gives the connection the source address.
func SNAT(a netip.Addr) Part {
	f := FamilyOf(a)
	return Part{"snat " + f.String() + " to " + a.String() + " fully-random", []expr.Any{
		&expr.Immediate{Register: keyReg, Data: a.Unmap().AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(f.proto()), RegAddrMin: keyReg, FullyRandom: true},
	}}
}

// Masquerade gives the connection the source address of the interface it leaves by.
func Masquerade() Part {
	return Part{"masquerade fully-random", []expr.Any{&expr.Masq{FullyRandom: true}}}
}

// Goto goes on in the chain and does not come back.
func Goto(chain string) Part {
	return Part{"goto " + chain, []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}}
}

// Jump goes on in the chain and comes back at its end.
func Jump(chain string) Part {
	return Part{"jump " + chain, []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}}
}

// Drop drops the packet silently.
func Drop() Part { return Part{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}} }

// Return goes back to the calling chain.
func Return() Part { return Part{"return", []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}} }

// RejectReset answers with a TCP reset. The rule must match TCP before.
func RejectReset() Part {
	return Part{"reject with tcp reset", []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}}
}

// Reject answers with ICMP port unreachable.
func Reject() Part {
	return Part{"reject with icmpx port-unreachable", []expr.Any{&expr.Reject{
		Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH,
	}}}
}
