// Package retry starts a plugin again if its start failed in a way that may pass: the
// plugin crashed while it started, or the system was short of processes.
//
//	client, err := retry.Start(ctx, config, retry.Policy{})
//
// That makes up to four attempts within 30 seconds, with a pause that grows. host.Start
// tries once, and no other function of this module tries again: retries are for hosts
// that call this one. Each attempt is a whole host.Start, with keys, sockets and a
// verification of its own, and leaves nothing behind when it fails.
//
// # What is tried again
//
// Unless Policy.Retry is set, [Helps] decides by the stage of the [host.StartError]:
//
//	StageConfig     never
//	StagePrepare    a shortage in the system
//	                not: a directory for sockets that cannot be used
//	StageVerify     never
//	StageLaunch     a shortage in the system; a program that is open for writing; a
//	                Runner that takes too long
//	                not: no such program, no permission, a program for another machine,
//	                other errors of Config.StartCmd and Config.Runner
//	StageHandshake  a plugin that ended or crashed; a time-out
//	                not: a wrong magic cookie; exit status 127, by which loaders and
//	                shells report a library or program that is missing; a line that is
//	                no handshake, or another protocol's; a closed stdout
//	StageCheck      never: versions, certificates, multiplexing, addresses
//	StageConnect    a plugin that ended or crashed; a time-out; an address where nobody
//	                listens; a shortage in the system
//	                not: another certificate; no TLS, or one that disagrees; a plugin
//	                that hangs up and runs on; no permission; a process of another user;
//	                one that was to be attached to and has ended
//	StageAttach     never: the plugin has ended
//
// A shortage in the system is one of processes, memory, descriptors, or places in a
// socket's queue: EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS, and Windows' errors for
// these. An error of StartCmd, of a Runner or of Sockets.Dial counts if it wraps one of
// them. Nothing is tried again once the context has ended or Policy.Total has passed.
//
// # Errors
//
// When Start gives up, its [*Error] has the reason, the attempts, and the last one's
// *host.StartError, which errors.As finds.
package retry
