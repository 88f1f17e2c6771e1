package imagebuild

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Spec is what a Dockerfile says.
type Spec struct {
	// From is the base image's name, or "scratch".
	From  string
	Steps []Step
}

// Step is one instruction after FROM.
type Step struct {
	Line int
	// Copy is set for COPY.
	Copy *Copy
	// Apply is set for the instructions that change the image's configuration.
	Apply func(*Settings)
}

// Copy names files of the folder and where they go.
type Copy struct {
	Sources     []string
	Destination string // absolute; ends in a slash when it is a folder
	Mode        int64  // permission bits for files; 0 keeps theirs
	UID, GID    int
}

// Settings is the part of an image's configuration that a Dockerfile sets.
type Settings struct {
	Env        []string
	Entrypoint []string
	Cmd        []string
	Ports      map[string]struct{}
	WorkingDir string
	User       string
	Labels     map[string]string
	StopSignal string
}

// SyntaxError says what is wrong on which line of a Dockerfile.
type SyntaxError struct {
	Line    int
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Parse reads the Dockerfile subset: FROM, COPY, ENV, ENTRYPOINT, CMD, EXPOSE, WORKDIR, USER, LABEL and STOPSIGNAL. COPY takes
// --chmod=OCTAL and --chown=UID:GID. There are no build arguments and no variables.
func Parse(r io.Reader) (*Spec, error) {
	spec := &Spec{}
	workDir := "/"
	err := eachInstruction(r, func(line int, word, rest string) error {
		switch {
		case word == "FROM":
			return spec.from(rest)
		case spec.From == "":
			return errors.New("the first instruction must be FROM")
		case word == "COPY":
			c, err := parseCopy(rest, workDir)
			spec.Steps = append(spec.Steps, Step{Line: line, Copy: c})
			return err
		}
		apply, err := parseSetting(word, rest, &workDir)
		spec.Steps = append(spec.Steps, Step{Line: line, Apply: apply})
		return err
	})
	if err != nil {
		return nil, err
	}
	if spec.From == "" {
		return nil, errors.New("the Dockerfile has no FROM")
	}
	return spec, nil
}

// eachInstruction joins continued lines, drops comments and empty lines, and calls do for the rest.
func eachInstruction(r io.Reader, do func(line int, word, rest string) error) error {
	scanner := bufio.NewScanner(r)
	var text strings.Builder
	begin := 0
	flush := func() error {
		line := strings.TrimSpace(text.String())
		text.Reset()
		if line == "" {
			return nil
		}
		word, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		if err := do(begin, strings.ToUpper(word), strings.TrimSpace(rest)); err != nil {
			return &SyntaxError{Line: begin, Problem: err.Error()}
		}
		return nil
	}
	for number := 1; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if strings.HasPrefix(line, "#") {
			continue
		}
		if text.Len() == 0 {
			begin = number
		}
		if rest, continued := strings.CutSuffix(line, `\`); continued {
			text.WriteString(rest + " ")
			continue
		}
		text.WriteString(line)
		if err := flush(); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("reading the Dockerfile: %w", err)
	}
	return flush()
}

func (s *Spec) from(rest string) error {
	if s.From != "" {
		return errors.New("several FROM: builds in stages are not supported, copy what was built elsewhere")
	}
	if len(strings.Fields(rest)) != 1 {
		return errors.New("FROM takes one image name")
	}
	s.From = rest
	return nil
}

func parseSetting(word, rest string, workDir *string) (func(*Settings), error) {
	if rest == "" {
		return nil, fmt.Errorf("%s needs a value", word)
	}
	switch word {
	case "ENV", "LABEL":
		return parsePairs(word, rest)
	case "ENTRYPOINT", "CMD":
		args, err := parseCommand(rest)
		if word == "CMD" {
			return func(s *Settings) { s.Cmd = args }, err
		}
		// As Docker has it, a new entry point forgets the base image's arguments.
		return func(s *Settings) { s.Entrypoint, s.Cmd = args, nil }, err
	case "EXPOSE":
		ports, err := parsePorts(rest)
		return func(s *Settings) {
			for _, port := range ports {
				s.Ports[port] = struct{}{}
			}
		}, err
	case "WORKDIR":
		*workDir = resolve(*workDir, rest)
		dir := *workDir
		return func(s *Settings) { s.WorkingDir = dir }, nil
	case "USER":
		return func(s *Settings) { s.User = rest }, nil
	case "STOPSIGNAL":
		return func(s *Settings) { s.StopSignal = rest }, nil
	case "RUN":
		return nil, errors.New("RUN is not supported: nothing is executed in a build; make the files first and COPY them")
	case "ADD":
		return nil, errors.New("ADD is not supported: use COPY")
	default:
		return nil, fmt.Errorf("%s is not supported", word)
	}
}

func parseCommand(rest string) ([]string, error) {
	if !strings.HasPrefix(rest, "[") {
		return []string{"/bin/sh", "-c", rest}, nil
	}
	var args []string
	if err := json.Unmarshal([]byte(rest), &args); err != nil {
		return nil, fmt.Errorf("the command is no list of JSON strings: %w", err)
	}
	if len(args) == 0 {
		return nil, errors.New("the command is empty")
	}
	return args, nil
}

func parsePorts(rest string) ([]string, error) {
	var ports []string
	for _, field := range strings.Fields(rest) {
		number, protocol, found := strings.Cut(strings.ToLower(field), "/")
		if !found {
			protocol = "tcp"
		}
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no port", field)
		}
		if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
			return nil, fmt.Errorf("%q is no protocol", protocol)
		}
		ports = append(ports, number+"/"+protocol)
	}
	return ports, nil
}

func parsePairs(word, rest string) (func(*Settings), error) {
	fields, err := splitQuoted(rest)
	if err != nil {
		return nil, err
	}
	// The old form: ENV NAME the whole rest.
	if !strings.Contains(fields[0], "=") && len(fields) > 1 {
		name, value, _ := strings.Cut(rest, " ")
		fields = []string{name + "=" + strings.TrimSpace(value)}
	}
	for _, field := range fields {
		if name, _, found := strings.Cut(field, "="); !found || name == "" {
			return nil, fmt.Errorf("%s needs NAME=VALUE, not %q", word, field)
		}
	}
	return func(s *Settings) {
		for _, field := range fields {
			name, value, _ := strings.Cut(field, "=")
			if word == "LABEL" {
				s.Labels[name] = value
			} else {
				s.setEnv(name, value)
			}
		}
	}, nil
}

func (s *Settings) setEnv(name, value string) {
	for i, have := range s.Env {
		if strings.HasPrefix(have, name+"=") {
			s.Env[i] = name + "=" + value
			return
		}
	}
	s.Env = append(s.Env, name+"="+value)
}

// splitQuoted splits at spaces outside double or single quotes and takes the quotes away.
func splitQuoted(text string) ([]string, error) {
	var fields []string
	var field strings.Builder
	var quote rune
	inside := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inside = r, true
		case quote == 0 && r == ' ':
			if inside {
				fields = append(fields, field.String())
			}
			field.Reset()
			inside = false
		default:
			field.WriteRune(r)
			inside = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if inside {
		fields = append(fields, field.String())
	}
	if len(fields) == 0 {
		return nil, errors.New("a value is missing")
	}
	return fields, nil
}

func parseCopy(rest, workDir string) (*Copy, error) {
	c := &Copy{}
	fields := strings.Fields(rest)
	if strings.HasPrefix(rest, "[") {
		fields = nil
		if err := json.Unmarshal([]byte(rest), &fields); err != nil {
			return nil, fmt.Errorf("COPY's list is no list of JSON strings: %w", err)
		}
	}
	for len(fields) > 0 && strings.HasPrefix(fields[0], "--") {
		if err := c.option(fields[0]); err != nil {
			return nil, err
		}
		fields = fields[1:]
	}
	if len(fields) < 2 {
		return nil, errors.New("COPY needs one or more sources and a destination")
	}
	last := fields[len(fields)-1]
	c.Sources, c.Destination = fields[:len(fields)-1], resolve(workDir, last)
	if strings.HasSuffix(last, "/") || last == "." {
		c.Destination = strings.TrimSuffix(c.Destination, "/") + "/"
	}
	if len(c.Sources) > 1 && !strings.HasSuffix(c.Destination, "/") {
		return nil, errors.New("COPY of several sources needs a destination that ends in a slash")
	}
	return c, nil
}

func (c *Copy) option(text string) error {
	name, value, _ := strings.Cut(text, "=")
	switch name {
	case "--chmod":
		mode, err := strconv.ParseInt(value, 8, 32)
		if err != nil || mode <= 0 || mode > 0o7777 {
			return fmt.Errorf("%q is no octal mode", value)
		}
		c.Mode = mode
		return nil
	case "--chown":
		uid, gid, found := strings.Cut(value, ":")
		if !found {
			gid = uid
		}
		u, errU := strconv.ParseUint(uid, 10, 31)
		g, errG := strconv.ParseUint(gid, 10, 31)
		if errU != nil || errG != nil {
			return fmt.Errorf("--chown takes numbers, not %q: names are known only inside an image", value)
		}
		c.UID, c.GID = int(u), int(g)
		return nil
	default:
		return fmt.Errorf("COPY does not know the option %s", name)
	}
}

func resolve(workDir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(workDir, name)
}
