// You learn here how the whole is tested: the programs are built, some of them are
// installed for a test, and the host runs as its user runs it. What is to be seen is
// its output, its log, its exit status, and that it leaves nothing behind.
//
// Read next: broken/newsdesk-filter-panics/main.go, which the tests of failures install.

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// built is the directory with all programs.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if built, err = os.MkdirTemp("", "newsdesk"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(built)
		build := exec.Command("go", "build", "-o", built+string(filepath.Separator), "../...", "../../broken/...")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
			return 1
		}
		return m.Run()
	}())
}

// A newsdesk is a host of a test's: its program, with plugins and directories of its own.
type newsdesk struct {
	t                   *testing.T
	plugins, out, files string
}

// install makes a host with these plugins. "a as b" installs the program a as b.
func install(t *testing.T, plugins ...string) *newsdesk {
	t.Helper()
	d := &newsdesk{t, t.TempDir(), t.TempDir(), t.TempDir()}
	for _, plugin := range plugins {
		program, name, renamed := strings.Cut(plugin, " as ")
		if !renamed {
			name = program
		}
		if err := os.Link(filepath.Join(built, program+exe()), filepath.Join(d.plugins, name+exe())); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// write writes a file and returns its name.
func (d *newsdesk) write(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.files, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// command returns the command that runs the host. Its directory for temporary files is
// its own, with a short name because of sockets, and must be empty when the test ends.
func (d *newsdesk) command(flags ...string) *exec.Cmd {
	d.t.Helper()
	temp, err := os.MkdirTemp("", "tn")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			d.t.Errorf("%v is left in the directory for temporary files (%v)", left, err)
		}
		os.RemoveAll(temp)
	})
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(built, "newsdesk"+exe()), append([]string{"-plugins", d.plugins, "-out", d.out}, flags...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	return cmd
}

// run has stories published, and returns what the host says. success is whether it must
// end well.
func (d *newsdesk) run(success bool, cmd *exec.Cmd, stories ...string) (stdout, stderr string) {
	d.t.Helper()
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Join(stories, "\n")), &out, &log
	if err := cmd.Run(); (err == nil) != success {
		d.t.Fatalf("the host ends with %v; its log:\n%s", err, log.Bytes())
	}
	return out.String(), log.String()
}

// page returns what is published under a name, "" if nothing is.
func (d *newsdesk) page(name string) string {
	text, err := os.ReadFile(filepath.Join(d.out, name))
	if err != nil && !os.IsNotExist(err) {
		d.t.Error(err)
	}
	return string(text)
}

// want checks that a text has matches of all patterns.
func want(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("there is no %s in:\n%s", pattern, text)
		}
	}
}

func TestPublish(t *testing.T) {
	d := install(t, "newsdesk-filter-glossary", "newsdesk-filter-typography", "newsdesk-sink-pages")
	rain := d.write("rain.txt", "Rain...\n\nIt rains -- said HTTP.\n")
	stdout, stderr := d.run(true, d.command("-archive", d.write("archive", "HTTP: a protocol\n")), rain)
	if want := fmt.Sprintf("%s: \"rain.html\"\n%[1]s: \"rain.txt\"\n", rain); stdout != want {
		t.Errorf("the host says:\n%s\nwant:\n%s", stdout, want)
	}
	if got, want := d.page("rain.txt"), "Rain…\n\nIt rains – said HTTP (a protocol).\n"; got != want {
		t.Errorf("published is %q, want %q", got, want)
	}
	want(t, stderr,
		`level=INFO msg=started plugin=newsdesk-filter-glossary version=2`,
		`level=INFO msg=started plugin=newsdesk-filter-typography version=1`,
		`level=INFO msg=explained plugin=newsdesk-filter-glossary pid=\d+ module=glossary story=rain word=HTTP`,
	)
	if strings.Contains(stderr, "level=DEBUG") {
		t.Errorf("records below the level are logged:\n%s", stderr)
	}
}

// TestInterrupt ends the host while it waits for the next story.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signal can be sent to a process there")
	}
	d := install(t, "newsdesk-sink-pages")
	cmd := d.command()
	log := new(bytes.Buffer)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin, d.write("rain.txt", "Rain"))
	for said := bufio.NewScanner(stdout); said.Scan() && !strings.Contains(said.Text(), "rain.txt\""); {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the host ends with %v", err)
	}
	want(t, log.String(), `msg=interrupted`)
	want(t, d.page("rain.txt"), `Rain`)
}

// TestCrash has a filter crash: the story goes on without it, and the next one has it.
func TestCrash(t *testing.T) {
	d := install(t, "newsdesk-filter-panics", "newsdesk-filter-typography", "newsdesk-sink-pages")
	_, stderr := d.run(true, d.command(), d.write("one.txt", "crash\n\nOne..."), d.write("two.txt", "calm\n\nTwo..."))
	if got := d.page("one.txt") + d.page("two.txt"); got != "crash\n\nOne…\ncalm\n\nTwo… Nothing happened.\n" {
		t.Errorf("published is:\n%s", got)
	}
	want(t, stderr,
		`level=ERROR msg="panic: the story asked for it" plugin=newsdesk-filter-panics .*stack=`,
		`level=WARN msg="not edited" story=one plugin=newsdesk-filter-panics error=".*the plugin ended: exit status 2.*"`,
	)
	if n := strings.Count(stderr, "msg=started plugin=newsdesk-filter-panics"); n != 2 {
		t.Errorf("the filter was started %d times, want 2:\n%s", n, stderr)
	}
}

// TestPanic has a filter panic in a call: that story fails, and the filter goes on.
func TestPanic(t *testing.T) {
	d := install(t, "newsdesk-filter-panics", "newsdesk-sink-pages")
	_, stderr := d.run(false, d.command(), d.write("one.txt", "panic"), d.write("two.txt", "calm"))
	want(t, stderr, `level=ERROR msg="not published" .*newsdesk-filter-panics: .*panic in the handler: the story asked for it`)
	want(t, stderr, `newsdesk: stories that were not published: 1\n`)
	want(t, d.page("two.txt"), `Nothing happened`)
	if n := strings.Count(stderr, "msg=started plugin=newsdesk-filter-panics"); n != 1 || d.page("one.txt") != "" {
		t.Errorf("the filter was started %d times, want once; of the first story is published %q, want nothing", n, d.page("one.txt"))
	}
}

// TestRefused has plugins that cannot be used: the host does not start, and says why.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		plugin string
		error  string
	}{
		{"newsdesk-filter-future", `"newsdesk-filter-future": .*: the plugin speaks version 9 of the application's protocol, this host 1, 2\n  hint: install`},
		{"newsdesk-sink-pages as newsdesk-filter-pages", `"newsdesk-filter-pages": .*: the plugin ended before .*\n  hint: the plugin refused the magic cookie`},
	} {
		t.Run(tc.plugin, func(t *testing.T) {
			d := install(t, tc.plugin, "newsdesk-sink-pages")
			_, stderr := d.run(false, d.command())
			want(t, stderr, tc.error)
		})
	}
}
