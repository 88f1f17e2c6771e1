// Package alloc gives Services their addresses and node ports.
//
// In flow a Service about to be stored, its former state, and what is taken; out flow the completed Service and the store steps
// that the API server commits in the write's own transaction, so that nothing is allocated from memory alone and a crash leaks
// nothing. Kept as upstream keeps it: an IPAddress object per address, and one bitmap of node ports under
// /registry/ranges/servicenodeports. The deciding part (plan.go, families.go) is pure; services.go reads and encodes, and
// repair.go mends what other hands left behind.
package alloc
