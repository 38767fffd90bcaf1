package errcode

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/certs"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/plugin/host/verify"
	"github.com/tenonrpc/tenon/wire/fields"
)

// codes has what says more about an error before what says less.
var codes = []Code{
	// Starting, by what went wrong.
	{"verify.mismatch", "The plugin's file is not the one that was approved.", "Install the approved file, or approve this one.", wraps(verify.ErrMismatch)},
	{"verify.unlisted", "The list of approved files does not have the plugin.", "Add it to the list, or do not use it.", wraps(verify.ErrNotListed)},
	{"verify.signature", "The signature of the plugin's file, or of the list, is not that of the expected key.", "Get the file and its signature from their maker again.", wraps(verify.ErrSignature)},
	{"handshake.cookie", "The plugin refused the magic cookie.", "It belongs to another application, or the cookies in host and plugin differ.", wraps(host.ErrCookieRefused)},
	{"handshake.version", "Plugin and host share no version of the application's protocol.", "Install a plugin and a host that do.", wraps(host.ErrVersion)},
	{"handshake.certificate", "The plugin does not use TLS as the host asks it to.", "Build the plugin with a library that has AutoMTLS, or set what the plugin needs in Config.TLS.", wraps(host.ErrCertificate)},
	{"handshake.mux", "The plugin cannot multiplex its connections.", "Leave Config.Multiplex unset, or build the plugin with a newer library.", wraps(host.ErrMuxUnsupported)},
	{"attach.gone", "The plugin to attach to is no longer running.", "Start it anew.", wraps(host.ErrNotRunning)},
	{"start.cancelled", "The start was cancelled.", "", started(context.Canceled)},
	{"start.timeout", "The plugin was not ready in time.", "See what it does before it serves; a slow one needs a longer StartTimeout.", started(context.DeadlineExceeded)},
	{"launch.missing", "There is no such program, or its interpreter is missing.", "Check the path in Config.Cmd, and a script's first line.", at(host.StageLaunch, missing)},
	{"launch.permission", "The program may not be executed.", "Check the modes of the file and its directories, and whether the file system allows programs.", at(host.StageLaunch, forbidden)},
	{"handshake.exit", "The plugin ended before it had said where it serves.", "Its last output, in the error, may say why.", at(host.StageHandshake, ended)},
	{"connect.exit", "The plugin ended while the host connected to it.", "Its last output, in the error, may say why.", at(host.StageConnect, ended)},

	// Certificates of one's own, at both ends.
	{"certs.missing", "The other side sent no certificate.", "Give it one, and set it in its configuration.", wraps(certs.ErrMissing)},
	{"certs.expired", "A certificate has expired.", "Replace its file; nothing has to be restarted.", wraps(certs.ErrExpired)},
	{"certs.early", "A certificate is not valid yet.", "Compare the clocks of the two machines.", wraps(certs.ErrNotYetValid)},
	{"certs.authority", "No authority that is known here has signed a certificate.", "Add the authority to the file of authorities, or sign the certificate with a known one.", wraps(certs.ErrUnknownCA)},
	{"certs.name", "A certificate is for another name.", "Make one for the name in the error, or connect to a name that it has.", wraps(certs.ErrName)},
	{"certs.usage", "A certificate is for another use.", "Make one for this role, or for both (CA.Peer).", wraps(certs.ErrUsage)},
	{"certs.key", "A private key does not belong to its certificate.", "Replace both files together, or keep both in one.", wraps(certs.ErrKey)},

	// Starting, by the stage.
	{"start.config", "The configuration is wrong.", "Correct the field that the error names.", at(host.StageConfig)},
	{"start.prepare", "The launch could not be prepared.", "See whether the directory for temporary files can be used.", at(host.StagePrepare)},
	{"start.verify", "The plugin's file could not be verified.", "See whether this user may read it, and what the Verifier says.", at(host.StageVerify)},
	{"start.launch", "The process could not be started.", "See what the system says about it.", at(host.StageLaunch)},
	{"start.handshake", "What the plugin printed is not a handshake.", "Nothing may be printed to stdout before the plugin serves; and it must be a plugin.", at(host.StageHandshake)},
	{"start.check", "The handshake is not one that this host accepts.", "See whether plugin and host belong together.", at(host.StageCheck)},
	{"start.connect", "There is no connection to the plugin.", "See whether the plugin serves at the address in the error, and whether this user may reach it.", at(host.StageConnect)},
	{"start.attach", "The running plugin was not found.", "Use the record of a plugin that runs.", at(host.StageAttach)},
	{"retry.unhelpful", "Trying to start it again would not help.", "See the error of the last attempt.", wraps(retry.ErrUnhelpful)},
	{"retry.attempts", "All attempts to start it have failed.", "See the error of the last attempt.", wraps(retry.ErrAttempts)},
	{"retry.total", "The time for all attempts to start it was over.", "See the error of the last attempt.", wraps(retry.ErrTotal)},
	{"retry.failed", "It could not be started, by several attempts.", "See the error of the last attempt.", isType[*retry.Error]},

	// Running, and the end.
	{"plugin.exited", "The plugin ended without having been asked to.", "Its exit status and last output are in the error.", isType[*host.ExitError]},
	{"plugin.health", "The plugin answers that it does not serve.", "See the plugin's log.", wraps(host.ErrNotServing)},
	{"stop.killed", "The plugin did not end when it was asked to, and was killed.", "See what it does at its end; a slow one needs a longer StopTimeout.", wraps(host.ErrKilled)},
	{"stop.unknown", "The plugin did not end when it was asked to, and nothing proves which process it is.", "End it by hand.", wraps(host.ErrNotKilled)},
	{"supervise.final", "The plugin is not to be started again, by its application's word.", "", wraps(supervise.ErrDoNotRestart)},
	{"supervise.gave-up", "The plugin has failed too often, and is not started again.", "See the last exits in the error; Replace begins again.", isType[*supervise.GaveUpError]},
	{"supervise.stopped", "The supervisor is stopped.", "", wraps(supervise.ErrStopped)},
	{"fleet.closed", "The group of plugins is closed.", "", wraps(fleet.ErrGroupClosed)},
	{"fleet.name", "The group has a plugin of that name.", "", wraps(fleet.ErrNameTaken)},
	{"fleet.writable", "Every user of this machine can change the plugin's file.", "Take that right away: chmod o-w.", wraps(fleet.ErrWorldWritable)},

	// In a plugin.
	{"serve.cookie", "The program was not started by its host.", "Start the host; it starts the plugin.", wraps(plugin.ErrCookie)},
	{"serve.host", "The plugin's host is gone.", "", wraps(plugin.ErrHostGone)},
	{"serve.side", "This program has only the other half of the plugin.", "", wraps(plugin.ErrOneSided)},
	{"broker.closed", "The connection to the other side is shut down, and with it the broker.", "", wraps(plugin.ErrBrokerClosed)},

	// gRPC. The status of a call has a code of its own, which stands beside these.
	{"call.limited", "The plugin takes no more calls just now.", "Try again after limit.RetryDelay.", func(err error) bool { _, ok := limit.RetryDelay(err); return ok }},
	{"grpc.registered", "The server has a service of that name.", "", wraps(h2grpc.ErrRegistered)},
	{"grpc.registration", "A service cannot be registered.", "", isType[*h2grpc.RegistrationError]},
	{"grpc.closed", "The server is closed.", "", wraps(h2grpc.ErrServerClosed)},
	{"grpc.handlers", "Handlers are still running although their calls have ended.", "Let them return when their context ends.", wraps(h2grpc.ErrHandlersRunning)},
	{"grpc.size", "A message is larger than its limit after decompression.", "Raise the limit, or send less.", wraps(h2grpc.ErrTooLarge)},
	{"wire.message", "Bytes are not a message of the protocol's.", "", wraps(fields.ErrMessage)},
	{"wire.length", "A field of a message is longer than it may be.", "", wraps(fields.ErrTooLong)},
	{"wire.text", "A text is not UTF-8.", "", wraps(fields.ErrUTF8)},
}
