package scheduler_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// until lets virtual time pass, second by second, until cond holds; it gives up after an hour of it.
func until(t *testing.T, cond func() bool) {
	t.Helper()
	for range 3600 {
		synctest.Wait()
		if cond() {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatal("an hour of virtual time passed in vain")
}
