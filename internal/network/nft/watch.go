package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watcher reports when someone else changes a table.
type Watcher struct {
	conn  *netlink.Conn
	own   uint32
	table string
	// lossOnly reports the loss of tables, chains and sets and nothing else.
	lossOnly bool
}

// Watch subscribes to the kernel's notifications before it returns, so that no later change is missed. Changes made through c
// are not reported.
func (c *Conn) Watch(table string) (*Watcher, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("opening nftables notifications: %w", err)
	}
	_ = conn.SetReadBuffer(4 << 20) // without the right to exceed the limit the default must do: losing events is handled
	if err := conn.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("subscribing to nftables notifications: %w", err)
	}
	return &Watcher{conn: conn, own: c.port, table: table}, nil
}

// WatchLoss is like Watch for a table that others rightly change: only that the table, a chain or a set was deleted is reported.
func (c *Conn) WatchLoss(table string) (*Watcher, error) {
	w, err := c.Watch(table)
	if err == nil {
		w.lossOnly = true
	}
	return w, err
}

// Run calls changed after each foreign change, and after the kernel says that notifications were lost. It returns when ctx ends
// or the socket fails.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() })
	defer stop()
	defer func() { _ = w.conn.Close() }()
	for {
		msgs, err := w.conn.Receive()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS):
			changed()
			continue
		case err != nil:
			return fmt.Errorf("reading nftables notifications: %w", err)
		}
		for _, m := range msgs {
			if m.Header.PID != w.own && concerns(m, w.table) && (!w.lossOnly || isLoss(m)) {
				changed()
				break
			}
		}
	}
}

func isLoss(m netlink.Message) bool {
	switch uint16(m.Header.Type) & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELSET:
		return true
	}
	return false
}

// concerns tells whether a notification is about the table. The first attribute of every message about tables, chains, rules,
// sets and elements has type 1 and names the table.
func concerns(m netlink.Message, table string) bool {
	if uint16(m.Header.Type)>>8 != unix.NFNL_SUBSYS_NFTABLES || uint16(m.Header.Type)&0xff == unix.NFT_MSG_NEWGEN {
		return false
	}
	const header = 4
	if len(m.Data) < header+4 {
		return false
	}
	for b := m.Data[header:]; len(b) >= 4; {
		size := int(binary.NativeEndian.Uint16(b))
		typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if size < 4 || size > len(b) {
			return false
		}
		if typ == 1 {
			return string(b[4:size]) == table+"\x00"
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false
}
