// Package errcode gives the errors of this library codes that stay the same from version
// to version, such as "handshake.cookie", with what they mean and what to do: for alerts,
// for statistics, and for user interfaces that have texts of their own. plugin/TROUBLESHOOTING.md
// lists them.
//
// Nothing else needs it: errors.Is and errors.As work on the errors themselves, and their
// texts say what this package says, with the details of the case.
package errcode

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/tenonrpc/tenon/plugin/host"
)

// Code is a kind of error.
type Code struct {
	Name  string // such as "handshake.cookie"; it never changes its meaning
	Means string // one sentence
	Do    string // what somebody can do about it; "" if that depends on the program
	is    func(error) bool
}

// All returns all codes: those that say more about an error before those that say less.
func All() []Code { return slices.Clone(codes) }

// Of returns the code that says most about err. It reports false for nil, and for errors
// of others.
func Of(err error) (Code, bool) {
	if list := Every(err); len(list) > 0 {
		return list[0], true
	}
	return Code{}, false
}

// Every returns all codes of err, the one that says most first: a start that was given up
// after several attempts has that of the last attempt, and "retry.attempts", for example.
func Every(err error) []Code {
	var list []Code
	for _, c := range codes {
		if err != nil && c.is(err) {
			list = append(list, c)
		}
	}
	return list
}

// wraps returns a function that reports whether an error wraps target.
func wraps(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// isType reports whether an error wraps one of a type.
func isType[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// at returns a function that reports whether an error is that of a start which failed at
// a stage, and for which also, if any, is true.
func at(stage host.Stage, also ...func(*host.StartError) bool) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*host.StartError](err)
		if !ok || e.Stage != stage {
			return false
		}
		return !slices.ContainsFunc(also, func(f func(*host.StartError) bool) bool { return !f(e) })
	}
}

// started reports whether an error is that of a start, and wraps target.
func started(target error) func(error) bool {
	return func(err error) bool { return isType[*host.StartError](err) && errors.Is(err, target) }
}

func missing(e *host.StartError) bool   { return errors.Is(e, fs.ErrNotExist) }
func forbidden(e *host.StartError) bool { return errors.Is(e, fs.ErrPermission) }
func ended(e *host.StartError) bool     { return e.ExitStatus.Ended }
