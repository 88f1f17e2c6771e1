package overlay

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestWhole(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name    string
		answers []error
		want    error
		calls   int
	}{
		{"at once", []error{nil}, nil, 1},
		{"after interruptions", []error{netlink.ErrDumpInterrupted, netlink.ErrDumpInterrupted, nil}, nil, 3},
		{"another error ends it", []error{netlink.ErrDumpInterrupted, broken, nil}, broken, 2},
		{"not for ever", nil, netlink.ErrDumpInterrupted, dumpAttempts},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			_, err := whole(func() ([]int, error) {
				calls++
				if tc.answers == nil {
					return nil, netlink.ErrDumpInterrupted
				}
				return nil, tc.answers[calls-1]
			})
			if !errors.Is(err, tc.want) || calls != tc.calls {
				t.Errorf("%d calls, error %v; want %d, %v", calls, err, tc.calls, tc.want)
			}
		})
	}
}
