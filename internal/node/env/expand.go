package env

import "strings"

// Expand replaces $(NAME) by what lookup says. $$ stands for one dollar sign; a reference that lookup does not know, and any
// other use of the dollar sign, stays as it is.
func Expand(s string, lookup func(name string) (string, bool)) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 == len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		switch s[1] {
		case '$':
			b.WriteByte('$')
			s = s[2:]
		case '(':
			end := strings.IndexByte(s, ')')
			if end < 0 {
				// An opening without an end loses nothing and swallows nothing.
				b.WriteString("$(")
				s = s[2:]
				continue
			}
			if v, ok := lookup(s[2:end]); ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[:end+1])
			}
			s = s[end+1:]
		default:
			b.WriteString(s[:2])
			s = s[2:]
		}
	}
}

// ExpandAll expands every string of a command.
func ExpandAll(list []string, vars []Var) []string {
	if len(list) == 0 {
		return nil
	}
	lookup := lookupIn(vars)
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Expand(s, lookup)
	}
	return out
}

func lookupIn(vars []Var) func(string) (string, bool) {
	values := make(map[string]string, len(vars))
	for _, v := range vars {
		values[v.Name] = v.Value
	}
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}
