package broker_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// cancelled is a server's end of a control stream that its client has cancelled: sending
// fails with that error, and not with io.EOF.
type cancelled struct{ ended chan struct{} }

func (c cancelled) Send(*wire.ConnInfo) error     { return errors.New("the stream was cancelled") }
func (c cancelled) Recv() (*wire.ConnInfo, error) { <-c.ended; return nil, io.EOF }

// TestSendOnACancelledStream: a call that was about to send when the other side hung up
// returns that the broker is closed, once it is.
func TestSendOnACancelledStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(&broker.Config{Listen: memListen})
		s := cancelled{make(chan struct{})}
		run, accepted := make(chan error, 1), make(chan error, 1)
		go func() { run <- b.Run(s) }()
		go func() {
			_, err := b.Accept(t.Context(), 1)
			accepted <- err
		}()
		if err := <-run; err == nil {
			t.Error("Run says nothing of the stream that failed")
		}
		close(s.ended)
		synctest.Wait()
		select {
		case err := <-accepted:
			t.Errorf("Accept returned %v before there was another stream", err)
		default:
		}
		b.Close()
		if err := <-accepted; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Accept returned %v, want ErrClosed", err)
		}
	})
}
