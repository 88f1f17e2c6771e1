// Package nft describes nftables tables as plain values, compares them, and applies the difference to the kernel.
//
// In flow Tables, Fragments and Changes built by the deciding code of other packages (proxy, overlay, host ports); out flow
// readable text for golden files and netlink transactions. Every table is of family inet. The package knows nothing of pods,
// services or nodes. Values are not safe for concurrent change; a Conn serialises its own transactions.
package nft
