package supervise_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

var restarts = flag.Int("restarts", 30, "how often TestManyRestarts has a plugin crash")

// start starts a supervisor that is stopped at the end of the test.
func start(t *testing.T, config *supervise.Config) (*supervise.Supervisor, kvpb.KVClient) {
	t.Helper()
	s, err := supervise.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, kvpb.NewKVClient(s)
}

// kill ends a plugin's process from outside.
func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// who returns the role and the process id of the plugin that gets the calls.
func who(t *testing.T, kv kvpb.KVClient) (role, pid string) {
	t.Helper()
	e, err := kv.Get(t.Context(), &kvpb.GetRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Key, e.Value
}

// TestManyRestarts has a plugin under load that crashes a few milliseconds after each
// start. What was acknowledged was carried out once, and nothing was carried out twice;
// neither memory nor goroutines, descriptors or files grow.
func TestManyRestarts(t *testing.T) {
	const callers = 4
	dir, journal := t.TempDir(), t.TempDir()+"/journal"
	config := &supervise.Config{
		Host:    command("crashing", journal),
		Restart: supervise.Restart{Failures: -1, Backoff: retry.Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
	}
	if runtime.GOOS != "windows" {
		config.Host.Sockets.TempDir = dir
	}
	s, kv := start(t, config)
	var (
		all      sync.WaitGroup
		done     atomic.Bool
		mu       sync.Mutex
		acked    [callers][]bool // by the number of the call
		exits    int             // calls that have failed with an ExitError
		failures = map[codes.Code]int{}
	)
	for c := range callers {
		all.Go(func() {
			for n := 0; !done.Load(); n++ {
				key := fmt.Sprintf("%d.%d", c, n)
				_, err := kv.Put(context.Background(), &kvpb.Entry{Key: key})
				acked[c] = append(acked[c], err == nil)
				if err == nil {
					continue
				}
				mu.Lock()
				failures[status.Code(err)]++
				if _, ok := errors.AsType[*host.ExitError](err); ok {
					exits++
				}
				mu.Unlock()
				// Under Wine a process may be stuck at its end, until the watchdog kills it.
				if runtime.GOOS != "windows" && strings.Contains(err.Error(), "this host has ended") {
					t.Errorf("a call failed for another reason than the plugin's end: %v", err)
				}
			}
		})
	}
	// What is in use after a tenth is what is in use at the end.
	times := *restarts
	if runtime.GOOS == "windows" {
		times = min(times, 8) // each takes two seconds under Wine
	}
	wait(t, s, times/10)
	before := inUse()
	wait(t, s, times)
	after := inUse()
	done.Store(true)
	all.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	count := 0
	for _, list := range acked {
		count += len(list)
	}
	t.Logf("%d restarts; %d calls, of which failed: %v; in use before: %v, after: %v", s.Status().Restarts, count, failures, before, after)
	if runtime.GOOS == "linux" && before.descriptors == 0 {
		t.Error("the descriptors in use are not known")
	}
	if after.heap > before.heap+heapSlack || after.goroutines > before.goroutines+30 || after.descriptors > before.descriptors+30 {
		t.Errorf("what is in use has grown from %v to %v", before, after)
	}
	// Under load the system may tell of a connection's end long before that of the process.
	if exits == 0 || len(failures) != 1 || failures[codes.Unavailable] == 0 {
		t.Errorf("calls failed with %v, %d of them with an ExitError; want UNAVAILABLE only", failures, exits)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d files are left, such as %s", len(left), left[0].Name())
	}
	checkJournal(t, journal, acked[:])
}

// heapSlack is how much the heap may differ: by what calls have in progress, and by the
// last exits, which are kept.
const heapSlack = 4 << 20

// wait waits until the plugin was restarted n times.
func wait(t *testing.T, s *supervise.Supervisor, n int) {
	t.Helper()
	for s.Status().Restarts < n {
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := s.Client(); c != nil {
			<-c.Done()
		}
	}
}

type resources struct {
	heap                    uint64
	goroutines, descriptors int
}

func (r resources) String() string {
	return fmt.Sprintf("%d KiB, %d goroutines, %d descriptors", r.heap>>10, r.goroutines, r.descriptors)
}

func inUse() resources {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{m.HeapAlloc, runtime.NumGoroutine(), descriptors()}
}

func checkJournal(t *testing.T, journal string, acked [][]bool) {
	t.Helper()
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		key := strings.TrimSpace(line)
		if done[key] {
			t.Errorf("the call %s was carried out twice", key)
		}
		done[key] = true
	}
	for c, list := range acked {
		for n, yes := range list {
			if key := fmt.Sprintf("%d.%d", c, n); yes && !done[key] {
				t.Errorf("the call %s was acknowledged and not carried out", key)
			}
		}
	}
}

// TestReplaceUnderLoad: no call fails while a plugin is replaced, and those in progress
// end where they began.
func TestReplaceUnderLoad(t *testing.T) {
	s, kv := start(t, &supervise.Config{Host: command("old", ""), Trial: -1})
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	roles := make(chan string, 1)
	for range 4 {
		all.Go(func() {
			for last := ""; ctx.Err() == nil; {
				e, err := kv.Get(context.Background(), &kvpb.GetRequest{})
				if err != nil {
					t.Errorf("a call failed: %v", err)
					return
				}
				if e.Key != last {
					last = e.Key
					select {
					case roles <- last:
					default:
					}
				}
			}
		})
	}
	first, old := <-roles, s.Client()
	for _, role := range []string{"new", "newer", "newest"} {
		if err := s.Replace(t.Context(), command(role, "")); err != nil {
			t.Fatal(err)
		}
		if got, _ := who(t, kv); got != role {
			t.Errorf("the calls go to %q, want %q", got, role)
		}
	}
	cancel()
	all.Wait()
	<-old.Done()
	if first != "old" || s.Status().Restarts != 3 || s.Status().Failures != 0 {
		t.Errorf("it began with %q, the status is %+v", first, s.Status())
	}
	refused := command("refused", "")
	refused.Verify = func(context.Context, string, io.Reader) error { return errRefused }
	if err := s.Replace(t.Context(), refused); !errors.Is(err, errRefused) {
		t.Errorf("a plugin that is refused: %v", err)
	}
	if got, _ := who(t, kv); got != "newest" {
		t.Errorf("the calls go to %q", got)
	}
}

var errRefused = errors.New("it is not the approved file")

// TestStream: a stream sees how its process ended, and another can be begun.
func TestStream(t *testing.T) {
	s, kv := start(t, &supervise.Config{Host: command("streaming", "")})
	list, err := kv.List(t.Context(), &kvpb.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list.Recv(); err != nil {
		t.Fatal(err)
	}
	kill(t, s.Client().PID())
	_, err = list.Recv()
	if exit, ok := errors.AsType[*host.ExitError](err); !ok || status.Code(err) != codes.Unavailable || !exit.Status.Ended {
		t.Errorf("the stream ended with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list, err = kv.List(ctx, &kvpb.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := list.Recv(); err != nil || e.Key != "streaming" {
		t.Errorf("the next stream: %v, %v", e, err)
	}
	if n := s.Status().Calls; n != 1 {
		t.Errorf("%d calls are counted, want the stream's", n)
	}
}

// TestBroker: what the host serves to its plugin is served to each process.
func TestBroker(t *testing.T) {
	var sink atomic.Uint32
	got := make(chan string, 2)
	config := &supervise.Config{Host: command("calling", ""), Prepare: func(ctx context.Context, c *host.Client) error {
		id, err := c.Broker().Serve(ctx, func(srv *h2grpc.Server) error {
			kvpb.RegisterSinkServer(srv, sinkServer{got: got})
			return nil
		})
		sink.Store(id)
		return err
	}}
	s, kv := start(t, config)
	for range 2 {
		if _, err := kv.Backup(t.Context(), &kvpb.BackupRequest{Sink: sink.Load()}); err != nil {
			t.Fatal(err)
		}
		if role := <-got; role != "calling" {
			t.Errorf("got %q", role)
		}
		old := s.Client()
		kill(t, old.PID())
		<-old.Done()
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

type sinkServer struct {
	kvpb.UnimplementedSinkServer
	got chan string
}

func (s sinkServer) Write(_ context.Context, in *kvpb.Entry) (*kvpb.WriteResponse, error) {
	s.got <- in.Key
	return &kvpb.WriteResponse{}, nil
}

// TestRealHealth: a plugin that says that it does not serve is started anew.
func TestRealHealth(t *testing.T) {
	s, kv := start(t, &supervise.Config{Host: command("sick", ""), Health: supervise.Health{Interval: time.Millisecond}})
	_, before := who(t, kv)
	old := s.Client()
	if _, err := kv.Put(t.Context(), &kvpb.Entry{Key: "sick"}); err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	if _, after := who(t, kv); after == before {
		t.Error("it is the same process")
	}
	exit := s.Status().LastExit
	if exit.Why != supervise.WhyUnhealthy || !errors.Is(exit.Err, host.ErrNotServing) || exit.Status.Code != 0 {
		t.Errorf("the last exit is %v: %v", exit, exit.Err)
	}
}

// TestUsage: the status has what the process uses, and a limit of it is one.
func TestUsage(t *testing.T) {
	config := &supervise.Config{Host: command("wasting", ""), Limits: supervise.Limits{Memory: 150 << 20, Interval: time.Millisecond}}
	s, err := supervise.Start(config)
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		if err == nil {
			s.Close()
			t.Error("a limit of what cannot be measured is no error")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kv := kvpb.NewKVClient(s)
	_, before := who(t, kv)
	st := s.Status()
	if u := st.Usage; u.RSS < 1<<20 || u.RSS > 150<<20 || fmt.Sprint(st.PID) != before {
		t.Errorf("the status is %+v, of the process %s", st, before)
	}
	old := s.Client()
	kv.Put(t.Context(), &kvpb.Entry{Key: "waste"}) // may be cut off
	<-old.Done()
	if _, after := who(t, kv); after == before {
		t.Error("it is the same process")
	}
	if exit := s.Status().LastExit; exit.Why != supervise.WhyMemory || !strings.Contains(exit.Err.Error(), "bytes of memory, of 157286400 that it may") {
		t.Errorf("the last exit is %v: %v", exit, exit.Err)
	}
}
