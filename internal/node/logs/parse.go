package logs

import (
	"bytes"
	"fmt"
	"time"
)

// timeFormat is how the runtime writes times.
const timeFormat = time.RFC3339Nano

// Line is one parsed line of a log file.
type Line struct {
	Time   time.Time
	Stream string
	// Partial says that the line goes on in the next one; Text then has no newline.
	Partial bool
	Text    []byte
}

// Parse reads one line, with or without its newline. Text shares the argument's memory.
func Parse(raw []byte) (Line, error) {
	raw, ended := bytes.CutSuffix(raw, []byte("\n"))
	stamp, rest, ok := bytes.Cut(raw, []byte(" "))
	if !ok {
		return Line{}, fmt.Errorf("log line without a stream: %q", short(raw))
	}
	at, err := time.Parse(timeFormat, string(stamp))
	if err != nil {
		return Line{}, fmt.Errorf("log line with an unreadable time: %w", err)
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || (string(stream) != "stdout" && string(stream) != "stderr") {
		return Line{}, fmt.Errorf("log line with an unknown stream: %q", short(raw))
	}
	// A line that is only a tag has no text.
	tags, text, _ := bytes.Cut(rest, []byte(" "))
	tag, _, _ := bytes.Cut(tags, []byte(":"))
	line := Line{Time: at, Stream: string(stream), Text: text}
	switch string(tag) {
	case "P":
		line.Partial = true
	case "F":
		if ended {
			line.Text = append(text[:len(text):len(text)], '\n')
		}
	default:
		return Line{}, fmt.Errorf("log line with an unknown tag: %q", short(raw))
	}
	return line, nil
}

func short(raw []byte) []byte { return raw[:min(len(raw), 80)] }
