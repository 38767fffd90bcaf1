package health

import (
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/loglimit"
)

// probe is a service whose status a function returns. A call of the function is
// decided when it returns, or before that when its time is over; until it returns
// there is no other. All fields but check are guarded by Server.mu.
type probe struct {
	check   func(context.Context) Status
	calling bool          // a call has not returned
	decided chan struct{} // closed when that call is decided; nil if it is, or there is none
	at      time.Time     // when the last call was decided; zero if none counts
}

// SetCheck has a function return the status of a service, which is known from then on.
// It takes the place of what SetServingStatus has set, or of another function. After
// [Server.Shutdown] it does nothing, and functions are not called until
// [Server.Resume]. The names of services are those of [Server.SetServingStatus].
//
// Check and List call the function and answer with what it returns. While somebody
// watches the service, it is called every ten seconds too, and whatever it returns, to
// whomever, is sent to all who watch. It runs in a goroutine of its own, once at a time
// however many ask: whoever asks while it runs gets the result of that call. Its
// context ends after five seconds, not with the calls that wait for it. A function that
// has not returned by then, or panics, counts as NOT_SERVING, and is not called again
// until it has returned.
func (s *Server) SetCheck(service string, check func(ctx context.Context) Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shutdown {
		return
	}
	if s.probes == nil {
		s.probes, s.update = make(map[string]*probe), s.ask
	}
	s.probes[service] = &probe{check: check}
	s.statuses[service] = Unknown // until somebody asks
	s.announce()
}

// ask calls the functions of services, or of all, except those of which a call is
// running or was decided less than age ago. It waits until all calls are decided or ctx
// ends, and returns what await returns for the last. The caller holds s.mu, which is
// free meanwhile.
func (s *Server) ask(ctx context.Context, age time.Duration, services ...string) (next time.Duration) {
	if len(services) == 0 {
		services = slices.Collect(maps.Keys(s.probes))
	}
	for _, service := range services {
		if p := s.probes[service]; p != nil && ctx.Err() == nil && time.Since(p.at) >= age {
			s.begin(service, p)
		}
	}
	for _, service := range services {
		next = s.await(ctx, service)
	}
	return next
}

// begin calls p's function, unless a call is running. The caller holds s.mu.
func (s *Server) begin(service string, p *probe) {
	if !p.calling && !s.shutdown {
		p.calling, p.decided = true, make(chan struct{})
		go s.call(service, p, p.decided)
	}
}

// await waits until the running call for a service is decided, if there is one, and
// returns after what time the next is due. It gives up, and returns 0, when ctx ends,
// and when the service has no function to ask any more. The caller holds s.mu, which is
// free meanwhile.
func (s *Server) await(ctx context.Context, service string) (next time.Duration) {
	var p *probe
	var decided chan struct{}
	for !s.shutdown && ctx.Err() == nil {
		if is := s.probes[service]; is == nil {
			return 0
		} else if is != p { // also if another function took its place
			if p = is; p.at.IsZero() {
				s.begin(service, p)
			}
			decided = p.decided
		}
		if decided == nil || decided != p.decided {
			if next = watchInterval - time.Since(p.at); next <= 0 {
				next = watchInterval // the last call has not returned
			}
			return next
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-decided:
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	return 0
}

// call calls p's function.
func (s *Server) call(service string, p *probe, decided chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.decide(service, p, decided, NotServing, false) })
	got := NotServing // unless it returns
	defer func() {
		if r := recover(); r != nil {
			s.logPanic(service, r)
		}
		stop()
		s.decide(service, p, decided, got, true)
	}()
	if current := p.check(ctx); ctx.Err() == nil {
		got = current
	}
}

// decide ends the wait for a call of p's function, if it has not ended, and the call
// itself if the function has returned.
func (s *Server) decide(service string, p *probe, decided chan struct{}, current Status, returned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if returned {
		p.calling = false
	}
	if p.decided != decided {
		return
	}
	p.decided, p.at = nil, time.Now()
	close(decided)
	if s.probes[service] == p && !s.shutdown && s.statuses[service] != current {
		s.statuses[service] = current
		s.announce()
	}
}

// logPanic logs a panic of a service's function, in the goroutine that panics.
func (s *Server) logPanic(service string, panicked any) {
	s.mu.Lock()
	log, _ := loglimit.Wrap(s.log) // which is done once: it returns what it has made as it is
	s.log = log
	s.mu.Unlock()
	log.Error("panic in a function that returns a service's health", "service", service, "panic", panicked, "stack", string(debug.Stack()))
}
