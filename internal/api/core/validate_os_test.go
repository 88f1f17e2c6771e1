package core

import (
	"strings"
	"testing"
)

func TestWindowsUserName(t *testing.T) {
	for name, c := range map[string]struct{ text, wrong string }{
		"a user":              {"ContainerAdministrator", ""},
		"of a machine":        {`NT AUTHORITY\SYSTEM`, ""},
		"of a domain":         {`AUTHORITY\SYSTEM`, ""},
		"of a longer domain":  {`corp.example.com\user`, ""},
		"of a bad domain":     {`a:b\user`, "Domain doesn't match"},
		"nothing":             {"", "cannot be an empty string"},
		"no user":             {`domain\`, "User cannot be empty"},
		"two backslashes":     {`a\b\c`, "more than one backslash"},
		"a control character": {"a\tb", "control characters"},
		"dots":                {"...", "cannot contain only periods or spaces"},
		"a sign":              {"a:b", "User cannot contain the following characters"},
		"long":                {strings.Repeat("a", 200), "must not be longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(windowsUserName(c.text), "; ")
			if c.wrong == "" && got != "" || !strings.Contains(got, c.wrong) {
				t.Errorf("got %q, want %q", got, c.wrong)
			}
		})
	}
}

func FuzzWindowsUserName(f *testing.F) {
	for _, seed := range []string{"", `a\b`, `\`, `\\`, "a:b", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(windowsUserName(text)) == 0 && (text == "" || strings.Count(text, `\`) > 1) {
			t.Errorf("%q passed", text)
		}
	})
}
