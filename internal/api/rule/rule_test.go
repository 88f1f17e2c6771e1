package rule

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestRules(t *testing.T) {
	at := field.NewPath("f")
	for name, c := range map[string]struct {
		errs field.ErrorList
		want string
	}{
		"given":                 {Given(at, "a"), ""},
		"not given":             {Given(at, ""), "f: Required value"},
		"one of":                {OneOf(at, "c", "b", "a"), `f: Unsupported value: "c": supported values: "b", "a"`},
		"maybe absent":          {MaybeOneOf[string](at, nil, "a"), ""},
		"not negative":          {NonNegative(at, int32(0)), ""},
		"negative":              {NonNegative(at, int32(-1)), "f: Invalid value: -1: must be greater than or equal to 0"},
		"zero":                  {Positive(at, int64(0)), "f: Invalid value: 0: must be greater than zero"},
		"same":                  {Unchanged(at, []string{}, []string(nil)), ""},
		"changed":               {Unchanged(at, "b", "a"), `f: Invalid value: "b": field is immutable`},
		"changed without value": {Fixed(at, "b", "a"), "f: Invalid value: null: field is immutable"},
		"duplicates":            {NoDuplicates(at, []string{"a", "b", "a"}), `f[2]: Duplicate value: "a"`},
		"climbing":              {RelativePath(at, "a/../b"), `f: Invalid value: "a/../b": must not contain '..'`},
		"dots":                  {RelativePath(at, "a..b"), ""},
		"absolute":              {RelativePath(at, "/a"), `f: Invalid value: "/a": must be a relative path`},
		"a hidden file":         {FileName(at, "..a"), `f: Invalid value: "..a": must not start with '..'`},
		"count down":            {NotDecremented(at, nil, new(int32(1))), "f: Invalid value: 0: cannot be decremented"},
		"count up":              {NotDecremented(at, new(int32(2)), new(int32(1))), ""},
		"driver":                {DriverName(at, "D.example.com"), ""},
		"long driver":           {DriverName(at, strings.Repeat("a", 64)), "f: Too long: may not be more than 63 characters"},
		"share":                 {Share(at, intstr.FromString("50%")), ""},
		"no share":              {Share(at, intstr.FromString("50")), "a valid percent string must be"},
		"share above all":       {ShareAtMostAll(at, intstr.FromString("101%")), "must not be greater than 100%"},
		"everyone's address":    {EndpointIP(at, "127.0.0.1"), "may not be in the loopback range"},
		"port":                  {PortOrName(at, intstr.FromInt32(0)), "must be between 1 and 65535"},
		"address as a name":     {Hostname(at, "1.2.3.4"), "must be a DNS name, not an IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range c.errs {
				got = append(got, err.Error())
			}
			text := strings.Join(got, "\n")
			if c.want == "" && text != "" || !strings.Contains(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}

func TestFamilies(t *testing.T) {
	for name, c := range map[string]struct {
		is   func([]string) bool
		list []string
		want bool
	}{
		"one address":   {OnePerFamily, []string{"1.2.3.4"}, true},
		"both families": {OnePerFamily, []string{"1.2.3.4", "::1"}, true},
		"two of one":    {OnePerFamily, []string{"1.2.3.4", "1.2.3.5"}, false},
		"one range":     {RangesOnePerFamily, []string{"x"}, true},
		"two ranges":    {RangesOnePerFamily, []string{"10.0.0.0/8", "fd00::/64"}, true},
		"of one family": {RangesOnePerFamily, []string{"10.0.0.0/8", "11.0.0.0/8"}, false},
		"three ranges":  {RangesOnePerFamily, []string{"10.0.0.0/8", "fd00::/64", "11.0.0.0/8"}, false},
		"no ranges":     {RangesOnePerFamily, []string{"x", "z"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.is(c.list) != c.want {
				t.Errorf("%v: got %v", c.list, !c.want)
			}
		})
	}
	if !NoShare(intstr.FromString("0%")) || NoShare(intstr.FromString("1%")) || !NoShare(intstr.FromInt32(0)) {
		t.Error("shares of nothing")
	}
}
