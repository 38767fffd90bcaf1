package limit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// New returns a Limiter for config, which it copies; nil means the zero Config. It
// returns an error for limits that make no sense, for names that are neither a method's
// nor a service's, and for limits of what is exempt.
func New(config *Config) (*Limiter, error) {
	if config == nil {
		config = new(Config)
	}
	l := &Limiter{start: time.Now(), paths: make(map[string]*path)}
	for _, name := range config.Exempt {
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("limit: Config.Exempt: %w", err)
		}
		l.paths[name] = nil
	}
	server, err := newMeter("Config.Server", config.Server)
	if err != nil {
		return nil, err
	}
	l.others = newPath(server)
	meters := make(map[string]*meter)
	for name, limits := range config.Methods {
		field := fmt.Sprintf("Config.Methods[%.200q]", name)
		if err := checkName(name); err != nil {
			return nil, fmt.Errorf("limit: Config.Methods: %w", err)
		}
		_, exempt := l.paths[name]
		_, serviceExempt := l.paths[service(name)]
		if exempt || serviceExempt || neverLimited(name) {
			return nil, fmt.Errorf("limit: %s: its calls are exempt from all limits", field)
		}
		if meters[name], err = newMeter(field, limits); err != nil {
			return nil, err
		}
	}
	for name, m := range meters {
		if strings.HasSuffix(name, "/") {
			l.paths[name] = newPath(m, server)
		} else {
			l.paths[name] = newPath(m, meters[service(name)], server)
		}
	}
	return l, nil
}

// checkName returns an error unless name is a method's or a service's.
func checkName(name string) error {
	rest, ok := strings.CutPrefix(name, "/")
	service, method, slash := strings.Cut(rest, "/")
	if !ok || !slash || service == "" || strings.Contains(method, "/") {
		return fmt.Errorf("%.200q is neither a method, as %q is, nor a service, as %q is", name, "/package.Service/Method", "/package.Service/")
	}
	return nil
}

// service returns the beginning of a method's full name, with both slashes.
func service(method string) string { return method[:strings.LastIndexByte(method, '/')+1] }

// neverLimited reports whether a method, or a service, is one of those that describe
// the server itself.
func neverLimited(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") || strings.HasPrefix(method, "/grpc.reflection.")
}

// newMeter returns a meter, or nil if there are no limits. field is where they are in
// the configuration.
func newMeter(field string, limits Limits) (*meter, error) {
	rate, burst := limits.Rate, limits.Burst
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("limit: %s."+format, append([]any{field}, args...)...)
	}
	switch {
	case math.IsNaN(rate), rate < 0:
		return nil, wrong("Rate is %v; it must be a number of calls a second, or zero for no limit", rate)
	case rate > maxRate:
		return nil, wrong("Rate is %v; it must be %d at most, or zero for no limit", rate, maxRate)
	case burst < 0, rate > 0 && burst == 0:
		return nil, wrong("Burst is %d; with a Rate it must be at least 1, or no call would ever be let in", burst)
	case rate == 0 && burst > 0:
		return nil, wrong("Burst is %d without a Rate; if %d calls may be in progress at once, set InFlight", burst, burst)
	case rate > 0 && float64(burst)/rate > maxFill.Seconds():
		return nil, wrong("Burst is %d; at a Rate of %v a second these take more than %.0f years to come", burst, rate, maxFill.Hours()/24/365)
	case limits.InFlight < 0:
		return nil, wrong("InFlight is %d; it must be a number of calls, or zero for no limit", limits.InFlight)
	case limits == Limits{}:
		return nil, nil
	}
	m := &meter{most: int64(limits.InFlight)}
	if rate > 0 {
		m.each = time.Duration(math.Round(float64(time.Second) / rate))
		m.fill = time.Duration(burst) * m.each
		m.tooMany = fmt.Sprintf("over the limit of %s calls a second: %s.Rate of the server's limit.Limiter", strconv.FormatFloat(rate, 'f', -1, 64), field)
	}
	m.crowded = status.Errorf(codes.ResourceExhausted, "over the limit of %d calls in progress: %s.InFlight of the server's limit.Limiter", m.most, field)
	return m, nil
}

// newPath returns the path through those meters that are not nil, or nil if there are
// none.
func newPath(meters ...*meter) *path {
	p := new(path)
	for _, m := range meters {
		if m != nil {
			p.meters = append(p.meters, m)
			p.timed = p.timed || m.each > 0
		}
	}
	if p.meters == nil {
		return nil
	}
	return p
}
