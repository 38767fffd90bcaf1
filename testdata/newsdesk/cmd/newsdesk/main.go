// Newsdesk is a host with two kinds of plugins. It reads the names of files from its
// standard input, one a line, has each story edited by all filters and published by
// all sinks, and prints where. It ends with its input, or with Ctrl-C: the story that
// is at work is finished then, and a second Ctrl-C does not wait for it.
//
//	ls stories/*.txt | bin/newsdesk -plugins bin -archive archive.txt -out out
//
// You learn here how a program with plugins begins and ends: flags, the log, signals,
// and that the plugins are closed on every way out. What is done with the plugins is
// in newsroom.go: read that next.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"example.com/newsdesk/newsdeskv1"
)

// options are what the flags say.
type options struct {
	plugins string // the directory with the plugins
	archive string // the file with the archive; "" means an empty one
	out     string // the directory to publish in
	limit   time.Duration
}

func main() {
	var o options
	var level slog.Level
	flag.StringVar(&o.plugins, "plugins", "bin", "the `directory` with the plugins")
	flag.StringVar(&o.archive, "archive", "", "the `file` with what words mean, a \"word: meaning\" each line")
	flag.StringVar(&o.out, "out", "out", "the `directory` to publish in")
	flag.DurationVar(&o.limit, "limit", time.Minute, "how long a story may take")
	flag.TextVar(&level, "log", slog.LevelInfo, "the lowest `level` that is logged; debug shows what the library says, too")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program, and the plugins with it
	if err := run(ctx, o, os.Stdin, os.Stdout, log); err != nil {
		fmt.Fprintln(os.Stderr, "newsdesk:", err)
		os.Exit(1)
	}
}

// run publishes the stories that in names, and says on out what became of them.
func run(ctx context.Context, o options, in io.Reader, out io.Writer, log *slog.Logger) (err error) {
	archive, err := readArchive(o.archive)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	room, err := open(ctx, o, archive, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, room.close()) }()

	failed := 0
	names := lines(ctx, in, log)
	for {
		select {
		case <-ctx.Done():
			log.Info("interrupted")
		case name, ok := <-names:
			if ok {
				if err := publish(ctx, o.limit, room, name, out); err != nil {
					log.Error("not published", "file", name, "error", err)
					failed++
				}
				continue
			}
		}
		if failed > 0 {
			return fmt.Errorf("stories that were not published: %d", failed)
		}
		return nil
	}
}

// publish publishes the story in a file, whose first line is its title. It finishes what
// it has begun even if ctx ends meanwhile, but takes no longer than the limit: no call
// of a plugin is without a deadline.
func publish(ctx context.Context, limit time.Duration, room *newsroom, name string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	title, rest, _ := strings.Cut(string(text), "\n")
	story := &newsdeskv1.Story{
		Slug:  strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)),
		Title: title,
		Text:  strings.TrimSpace(rest),
	}
	if err := room.start(ctx); err != nil { // what has crashed since
		return err
	}
	if story, err = room.edit(ctx, story); err != nil {
		return err
	}
	return room.publish(ctx, story, func(place string) { fmt.Fprintf(out, "%s: %q\n", name, place) })
}

// lines returns the lines of in as they come, until it or ctx ends.
func lines(ctx context.Context, in io.Reader, log *slog.Logger) <-chan string {
	names := make(chan string)
	go func() {
		defer close(names)
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			select {
			case names <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
		if err := scanner.Err(); err != nil {
			log.Error("reading the names of stories", "error", err)
		}
	}()
	return names
}
