// Package certs makes, checks and renews certificates of one's own, for plugins that
// somebody else has started, or that are reached over TCP. Plugins that their host starts
// need none of it: host and plugin then make certificates themselves (AutoMTLS).
//
// # Making them
//
// Once, on a machine where neither plugins nor hosts run:
//
//	ca, err := certs.NewCA(certs.Options{Name: "example.org plugins"})
//	...
//	err = ca.Write("ca.pem", "ca-key.pem") // the key stays here
//
// For each program, later with [LoadCA]:
//
//	p, err := ca.Peer(certs.Options{Names: []string{"kv.example.org"}})
//	...
//	err = p.Write("kv.pem", "") // the certificate and its key
//
// The program gets kv.pem, over a way that keeps it secret, and ca.pem. Server and Client
// make certificates for one role; host and plugin need both, since each connects to the
// other for the broker. Certificates of other tools work as well, as PEM; one that Check
// accepts is good.
//
// # Using them
//
//	r, err := certs.Watch(certs.WatchConfig{Certificate: "kv.pem", CAs: "ca.pem", Logger: logger})
//	...
//	plugin.ServeConfig{TLS: r.PeerConfig("host.example.org"), ...}
//
// and in the host, with its own certificate:
//
//	host.Config{TLS: r.PeerConfig("kv.example.org"), ...}
//
// Each side requires the other's certificate, signed by an authority in ca.pem, and with
// the name given. Servers and clients of h2grpc alone use ServerConfig and ClientConfig.
// The package's example has a host that reaches a plugin over TCP.
//
// # Replacing them
//
// Replace the files, and nothing else. A handshake looks at them every ten seconds
// ([WatchConfig].Interval) and loads them if they have changed; connections that exist go
// on with what they began with. Files that cannot be used, because they are not whole,
// have expired or do not belong together, change nothing: what was loaded before stays in
// use, and the Logger is told once. Replace a file by renaming another one, as [Pair.Write]
// does. A list of authorities that is cut between two of them cannot be told from a
// shorter list.
//
// An authority is replaced in three steps, each of which waits until all programs have
// done the last: the new one is added to the file of authorities, beside the old one; the
// certificates are replaced by those that the new one has signed; the old one is removed.
//
// There is no revocation: make certificates that end soon, and replace them often. To
// refuse one at once, replace the authority.
//
// The Logger is warned before a certificate ends; [Reloader.Expires] is for health checks.
// A program that has no handshakes for days, because its connections last, is warned only
// if it calls [Reloader.Reload].
//
// # Files
//
// make.go makes certificates; pair.go reads and writes them; check.go says what is wrong
// with one; reload.go watches files, and tls.go makes configurations of it.
package certs
