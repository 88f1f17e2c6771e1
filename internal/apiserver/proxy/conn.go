package proxy

import (
	"io"
	"net"
	"time"
)

// wrapConn makes a net.Conn of an upgraded body, which has neither addresses nor deadlines.
func wrapConn(rwc io.ReadWriteCloser) net.Conn {
	if c, ok := rwc.(net.Conn); ok {
		return c
	}
	return bodyConn{rwc}
}

type bodyConn struct{ io.ReadWriteCloser }

func (bodyConn) LocalAddr() net.Addr              { return noAddr{} }
func (bodyConn) RemoteAddr() net.Addr             { return noAddr{} }
func (bodyConn) SetDeadline(time.Time) error      { return nil }
func (bodyConn) SetReadDeadline(time.Time) error  { return nil }
func (bodyConn) SetWriteDeadline(time.Time) error { return nil }

type noAddr struct{}

func (noAddr) Network() string { return "upgraded" }
func (noAddr) String() string  { return "upgraded" }
