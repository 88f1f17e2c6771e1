// Command wait is what the measured pods run: it waits and ignores SIGTERM, so that a pod uses its whole grace period.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGTERM)
	wait := make(chan os.Signal, 1)
	signal.Notify(wait, syscall.SIGUSR1)
	<-wait
}
