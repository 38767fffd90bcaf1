package supervise

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

func TestOnDemandAndIdle(t *testing.T) {
	inFakeTime(t, Config{OnDemand: true, Idle: time.Minute, FailFast: true}, nil, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(time.Hour)
		if w.processes() != 0 || s.Status().State != Stopped {
			t.Fatal("it was started without a call")
		}
		wantCall(t, s, "a", "1:a") // waits for the process that it starts
		w.pass(59 * time.Second)
		wantCall(t, s, "b", "1:b")
		waits := goCall(t.Context(), s, "Wait", "w")
		w.pass(time.Hour)
		wantEvents(t, w, "starting 1", "ready 1")
		close(w.process(1).release)
		<-waits
		w.pass(59 * time.Second)
		wantEvents(t, w)
		w.pass(20 * time.Second)
		wantEvents(t, w, "exited 1: was idle", "stopped 1")
		w.pass(time.Hour)
		wantEvents(t, w)
		wantCall(t, s, "c", "2:c")
		wantEvents(t, w, "starting 2", "ready 2")
		if st := s.Status(); st.Failures != 0 {
			t.Errorf("being idle counts as a failure: %+v", st)
		}
	})
}

func TestNeeds(t *testing.T) {
	inFakeTime(t, Config{Name: "db"}, nil, func(t *testing.T, w *world, db *Supervisor) {
		w.process(1).crash(1)
		synctest.Wait()
		w2 := &world{t: t}
		s, err := begin(&Config{Name: "app", Host: &host.Config{Logger: db.cfg.Host.Logger}, Needs: []*Supervisor{db}}, w2.launch)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		synctest.Wait()
		if w2.processes() != 0 {
			t.Error("it was started before what it needs")
		}
		w.pass(100 * time.Millisecond)
		wantCall(t, s, "a", "1:a")
		// They are stopped the other way round.
		ended := make(chan string, 2)
		for name, f := range map[string]*fake{"app": w2.process(1), "db": w.process(2)} {
			go func() { <-f.done; ended <- name }()
		}
		if err := StopAll(t.Context(), db, s); err != nil {
			t.Error(err)
		}
		if first := <-ended; first != "app" {
			t.Errorf("%s was ended first", first)
		}
		<-ended
	})
	t.Run("gave up", func(t *testing.T) {
		plan := func(*fake) error { return errors.New("no") }
		inFakeTime(t, Config{Name: "db", Restart: Restart{Failures: 1}}, plan, func(t *testing.T, w *world, db *Supervisor) {
			s, err := begin(&Config{Name: "app", Host: db.cfg.Host, Needs: []*Supervisor{db}, Restart: Restart{Failures: 2}}, w.launch)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.WaitReady(t.Context())
			if !strings.Contains(fmt.Sprint(err), "it needs db: supervise: gave up on db") {
				t.Errorf("got %v", err)
			}
		})
	})
}
