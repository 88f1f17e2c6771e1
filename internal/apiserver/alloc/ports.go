package alloc

import (
	"errors"
	"fmt"
	"math/big"
)

// PortRange is a range of node ports, both ends included.
type PortRange struct {
	First, Last int
}

// String writes the range as upstream stores it.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) size() int { return r.Last - r.First + 1 }

var (
	errFull          = errors.New("range is full")
	errPortAllocated = errors.New("provided port is already allocated")
	errIPAllocated   = errors.New("provided IP is already allocated")
	errMismatch      = errors.New("the provided network does not match the current range")
)

// portMap is the node ports that are in use, as a bitmap that begins at the first port.
type portMap struct {
	ports PortRange
	bits  *big.Int
}

// newPortMap reads a stored bitmap; nil is an empty one. Bits behind the range's end are dropped.
func newPortMap(ports PortRange, data []byte) *portMap {
	m := &portMap{ports: ports, bits: new(big.Int).SetBytes(data)}
	for i := m.bits.BitLen() - 1; i >= ports.size(); i-- {
		m.bits.SetBit(m.bits, i, 0)
	}
	return m
}

func (m *portMap) data() []byte { return m.bits.Bytes() }

func (m *portMap) has(port int) bool {
	return port >= m.ports.First && port <= m.ports.Last && m.bits.Bit(port-m.ports.First) == 1
}

// take reserves one certain port.
func (m *portMap) take(port int) error {
	switch {
	case port < m.ports.First || port > m.ports.Last:
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %s", m.ports)
	case m.has(port):
		return errPortAllocated
	}
	m.bits.SetBit(m.bits, port-m.ports.First, 1)
	return nil
}

// free returns a port to the pool. A port that is not in the range, or not in use, is no error.
func (m *portMap) free(port int) {
	if m.has(port) {
		m.bits.SetBit(m.bits, port-m.ports.First, 0)
	}
}

// pick reserves any free port: a random one above the static band, else one inside it.
func (m *portMap) pick(random Random) (int, error) {
	size := uint64(m.ports.size())
	static := band(size, 16, 128, 32)
	for _, part := range [][2]uint64{{static, size - static}, {0, static}} {
		first, n := part[0], part[1]
		if n == 0 {
			continue
		}
		start := random(n)
		for i := range n {
			bit := int(first + (start+i)%n)
			if m.bits.Bit(bit) == 0 {
				m.bits.SetBit(m.bits, bit, 1)
				return m.ports.First + bit, nil
			}
		}
	}
	return 0, errFull
}
