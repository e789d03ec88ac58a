package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// session is one command of a ```console block and what it shows.
type session struct {
	line    int
	command string
	output  []string
}

// consoleBlocks reads the ```console blocks of a text. A line that begins with
// "$ " is a command, which goes on in the next line after a backslash; what
// follows up to the next command is its output. Blocks of other kinds are for
// readers alone.
func consoleBlocks(text string) (sessions []session) {
	inside := false
	for i, line := range strings.Split(text, "\n") {
		switch last := len(sessions) - 1; {
		case strings.HasPrefix(line, "```"):
			inside = !inside && strings.TrimSpace(line) == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			sessions = append(sessions, session{line: i + 1, command: strings.TrimPrefix(line, "$ ")})
		case last >= 0 && len(sessions[last].output) == 0 && strings.HasSuffix(sessions[last].command, `\`):
			sessions[last].command += "\n" + line
		case last >= 0:
			sessions[last].output = append(sessions[last].output, line)
		}
	}
	return sessions
}

// matches compares output with what the text shows of it, in which … stands
// for anything within a line and, alone on one, for any lines. A command that
// shows nothing may print anything.
func (s *session) matches(output string) bool {
	var pattern strings.Builder
	shown := strings.TrimSpace(strings.Join(s.output, "\n"))
	if shown == "" {
		return true
	}
	for i, line := range strings.Split(shown, "\n") {
		if strings.TrimSpace(line) == "…" {
			pattern.WriteString(`(?:[^\n]*(?:\n|$))*?`)
			continue
		}
		if i > 0 {
			pattern.WriteString(`\n?`)
		}
		pattern.WriteString(`(?m:^)` + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(line, " ")), "…", `[^\n]*`) + `(?m:$)`)
	}
	return regexp.MustCompile(`^` + pattern.String() + `\n*$`).MatchString(strings.ReplaceAll(strings.TrimSpace(output), "\r", ""))
}

// shell is a bash in which one command follows the other.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func newShell(t *testing.T, env []string) *shell {
	t.Helper()
	bash := exec.Command("bash", "--noprofile", "--norc")
	bash.Dir, bash.Env = root, env
	in, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = bash.Wait() })
	return &shell{in, bufio.NewReader(out)}
}

const endOfCommand = "--- end of command: "

// run runs a command, and returns what it printed and its exit status.
func (s *shell) run(command string) (output string, status int, err error) {
	fmt.Fprintf(s.in, "{ %s\n} 2>&1 </dev/null\nprintf '\\n%s%%d\\n' $?\n", command, endOfCommand)
	var lines strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return lines.String(), 0, err
		}
		if code, ok := strings.CutPrefix(strings.TrimSpace(line), endOfCommand); ok {
			status, err := strconv.Atoi(code)
			return strings.TrimSuffix(lines.String(), "\n"), status, err
		}
		lines.WriteString(line)
	}
}

const runExample = "go run ./caddymodule/caddy run --config Caddyfile.example"

// TestREADME: the README's first steps work word for word, from a fresh folder.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	reads(t, filepath.Join(root, "Caddyfile.example"))
	sessions := consoleBlocks(string(text))
	var shown strings.Builder
	s := prepare(t, "")
	bash := newShell(t, s.env)
	for _, step := range sessions {
		fmt.Fprintln(&shown, step.command, strings.Join(step.output, "\n"))
		if strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(step.command), "&")) == runExample {
			s.launch(exec.Command("bash", "-c", "exec "+runExample))
			within(t, 5*patience, runExample, func() error { // which links it first
				if strings.Contains(s.output.String(), "serving initial configuration") {
					return nil
				}
				return fmt.Errorf("so far: %s", s.output)
			})
			continue
		}
		output, status, err := bash.run(step.command)
		if err != nil {
			t.Fatalf("README.md:%d: %s: %v", step.line, step.command, err)
		}
		if status != 0 {
			t.Errorf("README.md:%d: %s: exit status %d:\n%s", step.line, step.command, status, output)
		}
		if !step.matches(output) {
			t.Errorf("README.md:%d: %s\nprints\n%s\nand not\n%s", step.line, step.command, output, strings.Join(step.output, "\n"))
		}
	}
	for _, step := range []struct{ what, pattern string }{
		{"starts the example", regexp.QuoteMeta(runExample)},
		{"gets a token", `/token`},
		{"calls the API", `localhost:8081`},
		{"shows the challenge", `(?i)www-authenticate: bearer`},
		{"is refused without a token", `\b401\b`},
		{"is refused for its scope", `\b403\b|insufficient_scope`},
		{"revokes a token", `/revoke`},
	} {
		if !s.ranAnything() || !regexp.MustCompile(step.pattern).MatchString(shown.String()) {
			t.Errorf("README.md: none of its %d commands %s", len(sessions), step.what)
		}
	}
}

func (s *server) ranAnything() bool { return s.cmd != nil }

// TestConsoleBlocks holds the rules of the README's blocks.
func TestConsoleBlocks(t *testing.T) {
	sessions := consoleBlocks("text\n```console\n$ one \\\n  more\nfirst\n…\nlast …\n$ two\n```\n```sh\n$ not run\n```\n```console\n$ three\n```\n")
	if len(sessions) != 3 || sessions[0].command != "one \\\n  more" || sessions[2].line != 14 {
		t.Fatalf("%+v", sessions)
	}
	for output, want := range map[string]bool{
		"first\nlast word":                     true,
		"first\na\nb\nlast\n":                  false,
		"first\r\na\r\nb\r\nlast word\r\n\r\n": true,
		"first\nlast word\nand more":           false,
		"first":                                false,
		"furst\nlast word":                     false,
	} {
		if got := sessions[0].matches(output); got != want {
			t.Errorf("%q matches: %v", output, got)
		}
	}
	if !sessions[1].matches("anything") {
		t.Error("a command that shows nothing may print anything")
	}
}
