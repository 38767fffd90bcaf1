package host

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// inherited are the host's variables that every plugin gets: what a program needs to
// run as its operator intended. Credentials, proxies (which may contain some),
// preloaded libraries and everything else stay out, unless Config.InheritEnv is set.
// plugin/MIGRATING.md has the same table.
var inherited = []struct {
	names []string
	why   string
}{
	{[]string{"PATH", "HOME", "USER", "LOGNAME", "SHELL"}, "where programs and the user's files are, and who the user is"},
	{[]string{"LANG", "LANGUAGE", "LC_*", "TZ"}, "language and time"},
	{[]string{"TERM", "COLORTERM", "NO_COLOR"}, "how to write for people"},
	{[]string{"TMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR"}, "where temporary files and sockets go"},
	{[]string{"SSL_CERT_FILE", "SSL_CERT_DIR"}, "which authorities this machine trusts"},
	{[]string{"LD_LIBRARY_PATH"}, "where its libraries are"},
	{[]string{"GODEBUG", "GOMEMLIMIT", "GOGC", "GOMAXPROCS", "GOTRACEBACK", "GOCOVERDIR"}, "how Go programs run here: what they may use, and what FIPS 140 asks for"},
	{[]string{"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERNAME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA"},
		"what Windows programs and its own libraries look for"},
}

// isInherited reports whether a plugin gets the variable of that name.
func isInherited(name string) bool {
	name = canonicalName(name)
	for _, group := range inherited {
		for _, known := range group.names {
			prefix, all := strings.CutSuffix(known, "*")
			if name == known || all && strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// foldNames reports whether names of variables that differ only in case are the same,
// as on Windows.
const foldNames = runtime.GOOS == "windows"

// canonicalName returns the form in which names are compared.
func canonicalName(name string) string {
	if foldNames {
		return strings.ToUpper(name)
	}
	return name
}

// environ returns the plugin's whole environment, without duplicates. Later entries
// take precedence: what is inherited from own (the host's environment), Cmd.Env,
// Config.Env, the cookie, and the protocol's variables.
func environ(s *settings, own []string, protocol wire.Env) []string {
	if !s.inheritEnv {
		own = slices.DeleteFunc(slices.Clone(own), func(entry string) bool { return !isInherited(entryName(entry)) })
	}
	return mergeEnv(
		hostwire.StripEnv(own),
		hostwire.StripEnv(s.target.recipe.cmd.Env),
		s.env,
		[]string{s.handshake.MagicCookieKey + "=" + s.handshake.MagicCookieValue},
		hostwire.AppendEnv(nil, protocol),
	)
}

// withheld returns the names of the variables in own that are not in env, for the log:
// at most maxWithheld names, and their total count.
func withheld(own, env []string) (names []string, count int) {
	for _, entry := range own {
		name := entryName(entry)
		if name == "" || slices.ContainsFunc(env, func(e string) bool { return canonicalName(entryName(e)) == canonicalName(name) }) {
			continue
		}
		if count++; count <= maxWithheld {
			names = append(names, wire.Printable(name, maxNameShown))
		}
	}
	slices.Sort(names)
	return names, count
}

// mergeEnv joins environments. Of several entries with the same name, the last one
// wins.
func mergeEnv(envs ...[]string) []string {
	var merged []string
	at := make(map[string]int)
	for _, env := range envs {
		for _, entry := range env {
			name := canonicalName(entryName(entry))
			if i, ok := at[name]; ok {
				merged[i] = entry
				continue
			}
			at[name] = len(merged)
			merged = append(merged, entry)
		}
	}
	return merged
}

// entryName returns the name of a "NAME=value" entry. Windows keeps the current
// directory of each drive in entries such as "=C:=C:\", whose name begins with
// the equals sign.
func entryName(entry string) string {
	if len(entry) == 0 {
		return ""
	}
	if i := strings.IndexByte(entry[1:], '='); i >= 0 {
		return entry[:i+1]
	}
	return entry
}

// lookupEnv returns a variable of an environment without duplicates.
func lookupEnv(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// checkEnv reports entries that are not "NAME=value". Values stay out of the
// error: they may be secrets.
func checkEnv(field string, env []string) error {
	for i, entry := range env {
		name := entryName(entry)
		if name == "" || name == entry || strings.ContainsRune(entry, 0) {
			return fmt.Errorf("%s[%d] is not NAME=value, or holds a NUL byte", field, i)
		}
	}
	return nil
}
