package supervise_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// The test program is the plugin as well, of the kind that roleEnv names. It writes the
// keys that it is given to the file of journalEnv.
const (
	roleEnv    = "TN_SUPERVISED"
	journalEnv = "TN_JOURNAL"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		servePlugin(role)
		return
	}
	os.Exit(kvmain.Run(m))
}

// store is a KV that keeps a journal. Get returns its role and its process id.
type store struct {
	kvpb.UnimplementedKVServer
	role    string
	journal *os.File
	health  *health.Server
	broker  *plugin.Broker
	once    sync.Once

	mu    sync.Mutex
	waste [][]byte // guarded by mu
}

func servePlugin(role string) {
	s := &store{role: role, health: health.NewServer()}
	if name := os.Getenv(journalEnv); name != "" {
		var err error
		if s.journal, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	plugin.Serve(&plugin.ServeConfig{
		Handshake: kvshared.Handshake,
		Health:    s.health,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(b *plugin.Broker, srv *h2grpc.Server) error {
			s.broker = b
			kvpb.RegisterKVServer(srv, s)
			return nil
		})},
	})
}

// Put writes the key to the journal. A plugin of the role "crashing" ends a few
// milliseconds after its first call.
func (s *store) Put(_ context.Context, in *kvpb.Entry) (*kvpb.PutResponse, error) {
	if s.role == "crashing" {
		s.once.Do(func() { time.AfterFunc(rand.N(4*time.Millisecond), func() { os.Exit(3) }) })
	}
	switch in.Key {
	case "sick":
		s.health.SetServingStatus(plugin.HealthService, health.NotServing)
	case "waste":
		block := make([]byte, 192<<20)
		for i := range block {
			block[i] = 1
		}
		s.mu.Lock()
		s.waste = append(s.waste, block)
		s.mu.Unlock()
	}
	if s.journal != nil {
		if _, err := s.journal.WriteString(in.Key + "\n"); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &kvpb.PutResponse{}, nil
}

func (s *store) Get(context.Context, *kvpb.GetRequest) (*kvpb.Entry, error) {
	return &kvpb.Entry{Key: s.role, Value: fmt.Sprint(os.Getpid())}, nil
}

// Backup calls back, with the role as the entry.
func (s *store) Backup(ctx context.Context, in *kvpb.BackupRequest) (*kvpb.BackupResponse, error) {
	cc, err := s.broker.Dial(ctx, in.Sink)
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	_, err = kvpb.NewSinkClient(cc).Write(ctx, &kvpb.Entry{Key: s.role})
	return &kvpb.BackupResponse{Written: 1}, err
}

// List sends an entry at once, and then nothing until the call ends.
func (s *store) List(_ *kvpb.ListRequest, stream h2grpc.ServerStreamingServer[kvpb.Entry]) error {
	if err := stream.Send(&kvpb.Entry{Key: s.role}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// command is the configuration of a plugin of a role.
func command(role, journal string) *host.Config {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       exec.Command(self),
		Env:       []string{roleEnv + "=" + role, journalEnv + "=" + journal, "GORACE=atexit_sleep_ms=0"},
		Curve:     host.P256,
		Logger:    slog.New(slog.DiscardHandler),
	}
}
