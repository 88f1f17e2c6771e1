package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Options say what a reader wants.
type Options struct {
	Follow     bool
	Timestamps bool
	// Tail is how many lines from the end to begin with; negative for all.
	Tail int64
	// Limit ends the output after so many bytes; negative for no limit.
	Limit int64
	// Since leaves out what is older; zero for nothing.
	Since time.Time
	// Stream is "stdout" or "stderr"; empty for both.
	Stream string
	// Ended is closed when the container has ended: following ends then. Needed with Follow.
	Ended <-chan struct{}
}

// Read writes the log at path to w, and with Follow what is added until the container ends or ctx does. A log that was rotated
// while it is followed is read to its end, then its successor.
func (f *Follower) Read(ctx context.Context, path string, o Options, w io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	r := &reader{path: path, file: file, out: output{w: w, left: o.Limit, stamp: o.Timestamps, starts: true}, o: o}
	defer func() { r.file.Close() }()
	var changed <-chan struct{}
	if o.Follow {
		ch, stop, err := f.Watch(path)
		if err != nil {
			return err
		}
		defer stop()
		changed = ch
	}
	if o.Tail >= 0 {
		if err := seekTail(file, o.Tail); err != nil {
			return fmt.Errorf("looking for the last lines: %w", err)
		}
	}
	r.buf = bufio.NewReaderSize(file, 64<<10)
	return r.run(ctx, changed)
}

// errLimit ends a read whose limit is reached.
var errLimit = errors.New("limit reached")

type reader struct {
	path string
	file *os.File
	buf  *bufio.Reader
	// begun is the beginning of a line whose end is not written yet.
	begun []byte
	out   output
	o     Options
}

func (r *reader) run(ctx context.Context, changed <-chan struct{}) error {
	ended := false
	for {
		err := r.drain()
		if errors.Is(err, errLimit) {
			return nil
		}
		if err != nil || !r.o.Follow {
			return err
		}
		next, err := r.successor()
		if err != nil {
			return err
		}
		if next {
			continue
		}
		if ended {
			return nil
		}
		if flusher, ok := r.out.w.(interface{ Flush() }); ok {
			flusher.Flush()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-r.o.Ended:
			ended = true // what it wrote last is read once more
		}
	}
}

// drain reads to the end of what is there.
func (r *reader) drain() error {
	for {
		raw, err := r.buf.ReadBytes('\n')
		r.begun = append(r.begun, raw...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		line, err := Parse(r.begun)
		r.begun = r.begun[:0]
		if err != nil {
			continue // a line that something else wrote
		}
		if r.o.Stream != "" && line.Stream != r.o.Stream || line.Time.Before(r.o.Since) {
			continue
		}
		if err := r.out.line(line); err != nil {
			return err
		}
	}
}

// successor opens the file that took the log's place and says whether there is one.
func (r *reader) successor() (bool, error) {
	now, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a rotated log: %w", err)
	}
	mine, err := r.file.Stat()
	if err != nil {
		return false, fmt.Errorf("looking at the open log: %w", err)
	}
	if os.SameFile(now, mine) {
		return false, nil
	}
	// What was added since the last look is read before the file is left.
	if err := r.drain(); err != nil {
		return false, err
	}
	next, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the rotated log's successor: %w", err)
	}
	r.file.Close()
	r.file, r.begun = next, r.begun[:0]
	r.buf.Reset(next)
	return true, nil
}

// output writes lines, with a time at the start of each whole line, up to a limit.
type output struct {
	w      io.Writer
	left   int64
	stamp  bool
	starts bool
}

func (o *output) line(l Line) error {
	if o.stamp && o.starts {
		if err := o.write([]byte(l.Time.Format(timeFormat) + " ")); err != nil {
			return err
		}
	}
	o.starts = !l.Partial
	return o.write(l.Text)
}

func (o *output) write(p []byte) error {
	limited := o.left >= 0 && int64(len(p)) >= o.left
	if limited {
		p = p[:o.left]
	}
	n, err := o.w.Write(p)
	if o.left >= 0 {
		o.left -= int64(n)
	}
	if err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	if limited {
		return errLimit
	}
	return nil
}

// seekTail moves to where the last n lines begin.
func seekTail(f io.ReadSeeker, n int64) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || n == 0 {
		return err
	}
	const block = 4096
	buf := make([]byte, block)
	seen := int64(0)
	for end := size; end > 0; {
		start := max(end-block, 0)
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return err
		}
		chunk := buf[:end-start]
		if _, err := io.ReadFull(f, chunk); err != nil {
			return err
		}
		for i := len(chunk) - 1; i >= 0; i-- {
			// The newline at the very end closes the last line.
			if chunk[i] != '\n' || start+int64(i) == size-1 {
				continue
			}
			if seen++; seen == n {
				_, err := f.Seek(start+int64(i)+1, io.SeekStart)
				return err
			}
		}
		end = start
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// ParseStream turns the API's word for a stream into the file's.
func ParseStream(s string) (string, error) {
	switch strings.ToLower(s) {
	case "", "all":
		return "", nil
	case "stdout", "stderr":
		return strings.ToLower(s), nil
	}
	return "", fmt.Errorf("unknown log stream %q", s)
}
