package main

// declared has the names of the old libraries from which programs get values, by import
// path: enough for the type checker to know what a method or a field belongs to. Types
// of parameters from which nothing is selected are left out.
var declared = map[string]string{
	oldPlugin:             declaredPlugin,
	oldGRPC:               declaredGRPC,
	oldGRPC + "/peer":     "package peer\n type Peer struct { Addr, LocalAddr, AuthInfo any }\n func FromContext(any) (*Peer, bool)\n func NewContext(any, *Peer) any",
	oldGRPC + "/codes":    "package codes\n type Code uint32\n func (*Code) UnmarshalJSON([]byte) error",
	oldGRPC + "/metadata": "package metadata\n type MD map[string][]string",
	oldGRPC + "/status": `package status
type Status struct{}
func (*Status) Proto() any
func (*Status) WithDetails(...any) (*Status, error)
func New(...any) *Status
func Newf(...any) *Status
func Convert(error) *Status
func FromContextError(error) *Status
func FromProto(any) *Status
func FromError(error) (*Status, bool)`,
}

const declaredGRPC = `package grpc
type Server struct{}
func NewServer(...any) *Server
func (*Server) Serve(any) error
func (*Server) Stop()
func (*Server) GracefulStop()
func (*Server) GetServiceInfo() map[string]any
func (*Server) RegisterService(any, any)
func (*Server) ServeHTTP(any, any)
type ClientConn struct{}
func NewClient(...any) (*ClientConn, error)
func Dial(...any) (*ClientConn, error)
func DialContext(...any) (*ClientConn, error)
func (*ClientConn) Close() error
func (*ClientConn) Connect()
func (*ClientConn) Target() string
func (*ClientConn) CanonicalTarget() string
func (*ClientConn) GetState() any
func (*ClientConn) WaitForStateChange(any, any) bool
func (*ClientConn) ResetConnectBackoff()
func (*ClientConn) GetMethodConfig(string) any
`

const declaredPlugin = `package plugin
type HandshakeConfig struct {
	ProtocolVersion uint
	MagicCookieKey, MagicCookieValue string
}
type Plugin interface {}
type GRPCPlugin interface {}
type NetRPCUnsupportedPlugin struct{}
type PluginSet map[string]Plugin
type Protocol string
const (
	ProtocolNetRPC Protocol = "netrpc"
	ProtocolGRPC Protocol = "grpc"
)
type MuxBroker struct{}
type GRPCBroker struct{}
func (*GRPCBroker) NextId() uint32
func (*GRPCBroker) Accept(uint32) (any, error)
func (*GRPCBroker) AcceptAndServe(uint32, any)
func (*GRPCBroker) Dial(uint32) (any, error)
func (*GRPCBroker) DialWithOptions(uint32, ...any) (any, error)
func (*GRPCBroker) Close() error
func (*GRPCBroker) Run()
type ServeConfig struct {
	HandshakeConfig
	TLSProvider any
	Plugins PluginSet
	VersionedPlugins map[int]PluginSet
	GRPCServer any
	Logger any
	Test *ServeTestConfig
}
type ServeTestConfig struct { Context, ReattachConfigCh, CloseCh, SyncStdio any }
func Serve(*ServeConfig)
func DefaultGRPCServer(any) any
type ClientConfig struct {
	HandshakeConfig
	Plugins PluginSet
	VersionedPlugins map[int]PluginSet
	Cmd, Reattach, RunnerFunc any
	SecureConfig *SecureConfig
	TLSConfig any
	Managed bool
	MinPort, MaxPort uint
	StartTimeout any
	Stderr, SyncStdout, SyncStderr any
	AllowedProtocols []Protocol
	Logger any
	PluginLogBufferSize int
	AutoMTLS bool
	GRPCDialOptions any
	GRPCBrokerMultiplex bool
	SkipHostEnv bool
	UnixSocketConfig *UnixSocketConfig
}
type ReattachConfig struct { Protocol Protocol; ProtocolVersion int; Addr any; Pid int; ReattachFunc any; Test bool }
type SecureConfig struct { Checksum []byte; Hash any }
type UnixSocketConfig struct { Group, TempDir string }
type ClientProtocol interface {
	Dispense(string) (any, error)
	Ping() error
	Close() error
}
type Client struct{}
func NewClient(*ClientConfig) *Client
func (*Client) Client() (ClientProtocol, error)
func (*Client) Exited() bool
func (*Client) ID() string
func (*Client) Kill()
func (*Client) NegotiatedVersion() int
func (*Client) Protocol() Protocol
func (*Client) ReattachConfig() *ReattachConfig
func (*Client) Start() (any, error)
type BasicError struct { Message string }
func NewBasicError(error) *BasicError
func CleanupClients()
func Discover(string, string) ([]string, error)
func TestPluginGRPCConn(...any) (any, any)
func TestGRPCConn(...any) (any, any)
func TestRPCConn(...any) (any, any)
func TestPluginRPCConn(...any) (any, any)
func TestConn(...any) (any, any)
`
