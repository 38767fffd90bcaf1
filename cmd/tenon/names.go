package main

import "strings"

// A rule is what a name of the old libraries becomes. If neither field is set, the name
// is the same in tenon and means the same.
type rule struct {
	to     string // the new name: "host.Config" for a name of a package, "Versions" for a field or method
	advice string // what somebody has to do, whether the name is replaced or not
	call   bool   // to is certain only if the call's results are not used
}

// ruleOf returns the rule for a name such as "plugin.Serve", "grpc.Server.Stop" or
// "plugin.ServeConfig.Logger".
func ruleOf(key string) rule {
	if r, ok := rules[key]; ok {
		return r
	}
	short, name, _ := strings.Cut(key, ".")
	if strings.Contains(name, ".") {
		return rule{} // member of a type that has a rule of its own
	}
	for kept := range strings.FieldsSeq(same[short]) {
		if kept == name {
			return rule{}
		}
	}
	if short == "grpc" && strings.HasPrefix(name, "SupportPackageIsVersion") {
		return rule{advice: "this stub is for another version of grpc-go: generate it anew with protoc-gen-go-h2grpc, or with protoc-gen-go-grpc 1.3 to 1.6"}
	}
	if short == "grpc" && strings.HasPrefix(name, "With") {
		return rule{advice: "dial options are fields of ClientConfig here, which host.Config has as Client"}
	}
	return rule{advice: "there is no counterpart in tenon: do without it, or leave it to code that stays on " + from(short)}
}

// from returns the import path of the old package with a short name.
func from(short string) string {
	for _, m := range moves {
		if m.short == short {
			return m.from
		}
	}
	return ""
}

// same are the names that mean the same in tenon's packages, by the short name of
// the old one. go-plugin's are all in rules.
var same = map[string]string{
	"codes": `Aborted AlreadyExists Canceled Code DataLoss DeadlineExceeded FailedPrecondition Internal InvalidArgument
		NotFound OK OutOfRange PermissionDenied ResourceExhausted Unauthenticated Unavailable Unimplemented Unknown`,
	"metadata": `AppendToOutgoingContext FromIncomingContext FromOutgoingContext Join MD New NewIncomingContext
		NewOutgoingContext Pairs ValueFromIncomingContext`,
	"peer":   `FromContext NewContext Peer`,
	"status": `Code Convert Error Errorf FromContextError FromError New Newf Status`,
	"grpc": `BidiStreamingClient BidiStreamingServer CallOption ClientConn ClientConnInterface ClientStream
		ClientStreamingClient ClientStreamingServer GenericClientStream GenericServerStream Header MaxCallRecvMsgSize
		MaxCallSendMsgSize Method MethodDesc MethodHandler MethodInfo Peer SendHeader Server ServerStream
		ServerStreamingClient ServerStreamingServer ServiceDesc ServiceInfo ServiceRegistrar SetHeader SetTrailer
		StaticMethod StreamClientInterceptor StreamDesc StreamHandler StreamServerInfo StreamServerInterceptor Streamer
		SupportPackageIsVersion7 SupportPackageIsVersion8 SupportPackageIsVersion9 Trailer UnaryClientInterceptor
		UnaryHandler UnaryInvoker UnaryServerInfo UnaryServerInterceptor UseCompressor WaitForReady`,
}

const (
	netRPC    = "there is no net/rpc in tenon: delete it, and what only it needs"
	testModes = "plugintest.Serve serves a plugin for a test; or set ServeConfig.Test to a *plugin.TestMode and call ServeContext"
	serverCfg = "limits and interceptors of a plugin's servers are fields of ServeConfig.Server, those of a server of your own of the ServerConfig that NewServer takes"
	clientCfg = "a client's connection is made by ClientConfig.Dial, and secured by its TLS; host.Config and the broker make those to plugins"
	exempt    = "the protocol's own calls go past it, unless Exempt is set"
	started   = "host.Start starts the plugin and connects to it: Start(ctx, *host.Config) (*host.Client, error)"
)

func interceptors(kind string) string {
	return kind + "Interceptors of ServerConfig, which ServeConfig has as Server; " + exempt
}

var rules = map[string]rule{
	// Both sides.
	"plugin.HandshakeConfig":                  {to: "plugin.Handshake"},
	"plugin.PluginSet":                        {to: "plugin.Set"},
	"plugin.Plugin":                           {},
	"plugin.GRPCPlugin":                       {to: "plugin.Plugin"},
	"plugin.NetRPCUnsupportedPlugin":          {advice: "a plugin.Plugin has only GRPCServer and GRPCClient: delete it"},
	"plugin.GRPCBroker":                       {to: "plugin.Broker"},
	"plugin.GRPCBroker.NextId":                {to: "NextID"},
	"plugin.GRPCBroker.Accept":                {advice: "Accept(ctx, id): the listener is secured as the main connection is"},
	"plugin.GRPCBroker.AcceptAndServe":        {advice: "AcceptAndServe(ctx, id, register) error, where register gets the *h2grpc.Server and may fail; or Serve(ctx, register), in the background, which returns a new id"},
	"plugin.GRPCBroker.Dial":                  {advice: "Dial(ctx, id): the context is the time-out, which was 5 s"},
	"plugin.GRPCBroker.DialWithOptions":       {advice: "Dial(ctx, id); ServeConfig.Client and host.Config.Client have the options of all brokered connections"},
	"plugin.GRPCBroker.Close":                 {advice: "the broker ends with the plugin's connection: delete the call"},
	"plugin.GRPCBroker.Run":                   {advice: "the broker runs by itself: delete the call"},
	"plugin.MuxBroker":                        {advice: netRPC},
	"plugin.Protocol":                         {advice: "gRPC is the only protocol: delete it"},
	"plugin.ProtocolGRPC":                     {advice: "gRPC is the only protocol: delete it"},
	"plugin.ProtocolNetRPC":                   {advice: netRPC},
	"plugin.BasicError":                       {advice: netRPC},
	"plugin.NewBasicError":                    {advice: netRPC},
	"plugin.HandshakeConfig.MagicCookieKey":   {},
	"plugin.HandshakeConfig.MagicCookieValue": {},
	"plugin.UnixSocketConfig":                 {advice: "its fields are Group and TempDir of host.Sockets"},
	"plugin.SecureConfig":                     {advice: "host.Config.Verify, for example verify.SHA256(sum) of plugin/host/verify"},
	"plugin.ReattachConfig":                   {advice: "host.Reattach, with other fields: Protocol is a string, Pid is PID, Addr is Network and Address; host.ParseProviders and ReadReattach make it"},
	"plugin.TestPluginGRPCConn":               {advice: "plugintest.New or plugintest.Dispense of plugin/plugintest"},
	"plugin.TestGRPCConn":                     {advice: "plugintest.New of plugin/plugintest"},
	"plugin.TestRPCConn":                      {advice: netRPC},
	"plugin.TestPluginRPCConn":                {advice: netRPC},
	"plugin.TestConn":                         {advice: "net.Pipe, or a listener of the test's own"},
	"plugin.ServeTestConfig":                  {advice: testModes},
	"plugin.Serve":                            {},
	"plugin.ServeConfig":                      {},
	"plugin.ServeConfig.HandshakeConfig":      {to: "Handshake"},
	"plugin.ServeConfig.VersionedPlugins":     {to: "Versions"},
	"plugin.ServeConfig.GRPCServer":           {advice: "delete it: " + serverCfg},
	"plugin.ServeConfig.TLSProvider":          {advice: "TLS, which is a *tls.Config and not a function"},
	"plugin.ServeConfig.Test":                 {advice: testModes},
	"plugin.DefaultGRPCServer":                {advice: "delete it: " + serverCfg},

	// The host.
	"plugin.ClientConfig":                     {to: "host.Config"},
	"plugin.ClientConfig.HandshakeConfig":     {to: "Handshake"},
	"plugin.ClientConfig.VersionedPlugins":    {to: "Versions"},
	"plugin.ClientConfig.TLSConfig":           {to: "TLS"},
	"plugin.ClientConfig.GRPCBrokerMultiplex": {to: "Multiplex"},
	"plugin.ClientConfig.Reattach":            {advice: "Reattach takes a *host.Reattach, from host.ParseProviders, ReadReattach or Client.Reattach"},
	"plugin.ClientConfig.RunnerFunc":          {advice: "Runner, a host.Runner, whose processes have the methods of go-plugin's"},
	"plugin.ClientConfig.SecureConfig":        {advice: "Verify, for example verify.SHA256(sum) of plugin/host/verify"},
	"plugin.ClientConfig.Managed":             {advice: "defer client.Close(), or start it with a fleet.Group of plugin/host/fleet"},
	"plugin.ClientConfig.MinPort":             {advice: "Sockets.MinPort, an int"},
	"plugin.ClientConfig.MaxPort":             {advice: "Sockets.MaxPort, an int"},
	"plugin.ClientConfig.Stderr":              {advice: "Output.RawStderr"},
	"plugin.ClientConfig.SyncStdout":          {advice: "Output.Stdout"},
	"plugin.ClientConfig.SyncStderr":          {advice: "Output.Stderr"},
	"plugin.ClientConfig.AllowedProtocols":    {advice: "gRPC is the only protocol: delete it; a plugin that speaks net/rpc cannot be started"},
	"plugin.ClientConfig.Logger":              {advice: "Logger is a *slog.Logger here: slog.New(sloghclog.ToLogger(l)), of plugin/sloghclog, passes on to an hclog.Logger l; nil is slog.Default()"},
	"plugin.ClientConfig.PluginLogBufferSize": {advice: "lines may have any length: delete it"},
	"plugin.ClientConfig.AutoMTLS":            {advice: "AutoMTLS is the default; InsecurePlaintext: true is what AutoMTLS: false was"},
	"plugin.ClientConfig.GRPCDialOptions":     {advice: "Client, an h2grpc.ClientConfig"},
	"plugin.ClientConfig.SkipHostEnv":         {advice: "it is the default; InheritEnv: true is what SkipHostEnv: false was"},
	"plugin.ClientConfig.UnixSocketConfig":    {advice: "Sockets.Group and Sockets.TempDir"},
	"plugin.NewClient":                        {advice: started},
	"plugin.Client":                           {to: "host.Client"},
	"plugin.Client.Client":                    {advice: "the *host.Client of host.Start is connected: host.Dispense[T](ctx, client, name), client.Ping(ctx) or client.Conn()"},
	"plugin.Client.Start":                     {advice: started},
	"plugin.Client.Kill":                      {to: "Close"},
	"plugin.Client.Exited":                    {advice: "Done is a channel that is closed then, and Err and ExitStatus say how it ended"},
	"plugin.Client.ID":                        {advice: "PID, an int"},
	"plugin.Client.Protocol":                  {advice: "gRPC is the only protocol: delete the call"},
	"plugin.Client.NegotiatedVersion":         {to: "Version"},
	"plugin.Client.ReattachConfig":            {advice: "Reattach, or under AutoMTLS ReattachWithKey, which return a *host.Reattach and an error"},
	"plugin.ClientProtocol":                   {advice: "*host.Client"},
	"plugin.ClientProtocol.Dispense":          {advice: "host.Dispense[T](ctx, client, name)"},
	"plugin.ClientProtocol.Ping":              {advice: "Ping(ctx) of *host.Client"},
	"plugin.ClientProtocol.Close":             {advice: "Close of *host.Client"},
	"plugin.CleanupClients":                   {advice: "defer client.Close(), or Close of a fleet.Group of plugin/host/fleet"},
	"plugin.Discover":                         {advice: "fleet.Discover(dir, pattern) of plugin/host/fleet: the arguments are the other way round"},

	// gRPC.
	"grpc.NewServer":                      {}, // newServer looks at its arguments
	"grpc.ServerOption":                   {advice: serverCfg},
	"grpc.MaxRecvMsgSize":                 {advice: "MaxRecvMessageSize of ServerConfig, which ServeConfig has as Server; a plugin's default is 256 MiB"},
	"grpc.MaxSendMsgSize":                 {advice: "MaxSendMessageSize of ServerConfig, which ServeConfig has as Server"},
	"grpc.UnaryInterceptor":               {advice: interceptors("Unary")},
	"grpc.ChainUnaryInterceptor":          {advice: interceptors("Unary")},
	"grpc.StreamInterceptor":              {advice: interceptors("Stream")},
	"grpc.ChainStreamInterceptor":         {advice: interceptors("Stream")},
	"grpc.StatsHandler":                   {advice: "Stats of ServerConfig, an h2grpc.Stats; " + exempt},
	"grpc.Creds":                          {advice: "TLS of ServerConfig; a plugin's is ServeConfig.TLS, or AutoMTLS"},
	"grpc.UnknownServiceHandler":          {advice: "Unknown of ServerConfig"},
	"grpc.MaxConcurrentStreams":           {advice: "MaxConcurrentStreams of ServerConfig"},
	"grpc.Server.Serve":                   {call: true, advice: "after Close and Shutdown it returns ErrServerClosed, where grpc-go's returned nil"},
	"grpc.Server.Stop":                    {to: "Close", call: true, advice: "Close, which returns an error"},
	"grpc.Server.GracefulStop":            {advice: "Shutdown(ctx), which returns an error"},
	"grpc.Server.GetServiceInfo":          {to: "ServiceInfo"},
	"grpc.Server.ServeHTTP":               {advice: "there is no net/http in tenon: ServeConn serves a connection"},
	"grpc.DialOption":                     {advice: "dial options are fields of ClientConfig here, which host.Config has as Client"},
	"grpc.NewClient":                      {advice: clientCfg},
	"grpc.Dial":                           {advice: clientCfg},
	"grpc.DialContext":                    {advice: clientCfg},
	"grpc.ClientConn.Connect":             {advice: "Connect(ctx), which returns an error once it has connected or failed"},
	"grpc.ClientConn.Target":              {advice: "there is one server, and ClientConfig.Dial knows where: delete the call"},
	"grpc.ClientConn.CanonicalTarget":     {advice: "there is one server, and ClientConfig.Dial knows where: delete the call"},
	"grpc.ClientConn.GetState":            {advice: "Connect(ctx) says whether there is a connection; Done of *host.Client, whether the plugin has ended"},
	"grpc.ClientConn.WaitForStateChange":  {advice: "Connect(ctx) waits for a connection; Done of *host.Client, for the plugin's end"},
	"grpc.ClientConn.ResetConnectBackoff": {advice: "the next call connects: delete the call"},
	"grpc.ClientConn.GetMethodConfig":     {advice: "there is no service configuration: delete the call"},
	"grpc.EmptyCallOption":                {advice: "a CallOption cannot be made outside of h2grpc: use a context, or an argument of your own"},
	"grpc.ServerTransportStream":          {advice: "SetHeader, SendHeader, SetTrailer and Method take a handler's context"},
	"grpc.ErrServerStopped":               {to: "grpc.ErrServerClosed"},

	// Below it.
	"status.ErrorProto":        {advice: "status.FromProto(p).Err(), where p is a status.Proto, which UnmarshalFrom reads from the encoding"},
	"status.FromProto":         {advice: "FromProto takes tenon's status.Proto, which UnmarshalFrom reads from the encoding of google.rpc.Status"},
	"status.Status.Proto":      {advice: "Proto returns tenon's status.Proto; its AppendTo writes the encoding of google.rpc.Status"},
	"codes.Code.UnmarshalJSON": {advice: "a Code is read from JSON as a number, not as a name: read it yourself"},
	"peer.Peer.AuthInfo":       {advice: "TLS, a *tls.ConnectionState, nil without TLS"},
}

// packages has what to do about packages of the old libraries whose names have no
// rules, by import path. The longest path that is the package's or above it counts.
var packages = map[string]string{
	oldPlugin:                          "there is no counterpart in tenon: do without it, or leave it to code that stays on go-plugin",
	oldPlugin + "/runner":              "host.Runner and host.Process of plugin/host have these methods",
	oldGRPC:                            "there is no counterpart in tenon: do without it, or leave it to code that stays on grpc-go",
	oldGRPC + "/credentials":           "TLS of ServerConfig and ClientConfig; plugins have AutoMTLS, ServeConfig.TLS and host.Config.TLS",
	oldGRPC + "/credentials/insecure":  "plaintext is TLS: nil in ServerConfig and ClientConfig, and InsecurePlaintext: true in host.Config",
	oldGRPC + "/encoding/gzip":         "h2grpc/gzip, given as Compressors of ServerConfig and ClientConfig",
	oldGRPC + "/health":                "h2grpc/health",
	oldGRPC + "/health/grpc_health_v1": "h2grpc/health",
	oldGRPC + "/keepalive":             "KeepaliveInterval and KeepaliveTimeout of ClientConfig, and MinPingInterval of ServerConfig",
	oldGRPC + "/reflection":            "h2grpc/reflection; a plugin's is ServeConfig.Reflection",
	oldGRPC + "/stats":                 "Stats of ServerConfig and ClientConfig, an h2grpc.Stats",
	oldGRPC + "/test/bufconn":          "net.Pipe with Server.ServeConn and ClientConfig.Dial; for plugins, plugin/plugintest",
}
