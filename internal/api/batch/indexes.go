package batch

import (
	"fmt"
	"strconv"
	"strings"
)

// interval is a range of completion indexes, both ends included.
type interval struct{ first, last int32 }

// parseIndexes reads a list such as 0,2-5,7: in ascending order, and below completions. Errors are in upstream's words.
func parseIndexes(text string, completions int32) ([]interval, error) {
	if text == "" {
		return nil, nil
	}
	var list []interval
	for part := range strings.SplitSeq(text, ",") {
		i, err := parseInterval(part, completions)
		if err != nil {
			return nil, err
		}
		if n := len(list); n > 0 && list[n-1].last >= i.first {
			return nil, fmt.Errorf("non-increasing order, previous: %d, current: %d", list[n-1].last, i.first)
		}
		list = append(list, i)
	}
	return list, nil
}

func parseInterval(text string, completions int32) (interval, error) {
	first, last, isRange := strings.Cut(text, "-")
	if strings.Contains(last, "-") {
		return interval{}, fmt.Errorf(
			"the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", text)
	}
	x, err := parseIndex(first, completions)
	if err != nil || !isRange {
		return interval{x, x}, err
	}
	y, err := parseIndex(last, completions)
	if err == nil && x >= y {
		err = fmt.Errorf("non-increasing order, previous: %d, current: %d", x, y)
	}
	return interval{x, y}, err
}

func parseIndex(text string, completions int32) (int32, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", text)
	case n >= int(completions):
		return 0, fmt.Errorf("too large index: %q", text)
	}
	return int32(n), nil
}

func count(list []interval) int32 {
	var n int32
	for _, i := range list {
		n += i.last - i.first + 1
	}
	return n
}

// firstCommon finds the lowest index that is in both lists.
func firstCommon(a, b []interval) (int32, bool) {
	for len(a) > 0 && len(b) > 0 {
		if low := max(a[0].first, b[0].first); low <= min(a[0].last, b[0].last) {
			return low, true
		}
		if a[0].last < b[0].last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return 0, false
}
