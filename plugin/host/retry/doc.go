// Package retry starts a plugin again if its start failed in a way that may pass: the
// plugin crashed while it started, or the system was short of processes.
//
//	client, err := retry.Start(ctx, config, retry.Policy{})
//
// Nothing is tried again unless this function is called: host.Start tries once. Each
// attempt is a whole host.Start, with keys, sockets and a verification of its own, and
// leaves nothing behind when it fails.
//
// # What is tried again
//
// [Helps] decides, unless Policy.Retry is set:
//
//	stage            tried again                           not tried again
//	StageConfig                                            everything
//	StagePrepare     a shortage in the system              a directory that cannot be used
//	StageVerify                                            everything
//	StageLaunch      a shortage in the system, a program   no such program, no permission,
//	                 that is open for writing, a Runner    no program for this machine, other
//	                 that takes too long                   errors of StartCmd or a Runner
//	StageHandshake   the plugin ended or crashed,          a wrong magic cookie, exit status 127
//	                 a time-out                            (a library or program is missing), a
//	                                                       line that is no handshake or one for
//	                                                       another protocol, a closed stdout
//	StageCheck                                             everything: versions, certificates,
//	                                                       multiplexing, addresses
//	StageConnect     the plugin ended or crashed,          another certificate, no TLS or other
//	                 a time-out, nobody listens,           TLS, no multiplexing, a process of
//	                 a shortage in the system              another user, no permission, a plugin
//	                                                       that hangs up and runs on
//	StageAttach                                            everything: the plugin has ended
//
// A shortage in the system is one of processes, memory, descriptors or the queue of a
// socket: EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS, and Windows' errors for these.
// Nothing is tried again once the context has ended or Policy.Total has passed.
//
// It uses the exported API of package host, and its errors.
package retry
