package certs

import "time"

// Every limit and period of the package, with its reason.
const (
	// defaultValidity is how long certificates are valid: rotating them once a year is
	// seldom enough for hands, and often enough not to be forgotten. An authority's
	// default is longer, so that the certificates end before it.
	defaultValidity   = 365 * day
	defaultCAValidity = 5 * 365 * day

	// backdate is how far in the past certificates begin: the clock of another machine
	// may be that much behind.
	backdate = 5 * time.Minute

	// day has 24 hours: nothing here depends on a calendar.
	day = 24 * time.Hour

	// serialBytes is the size of the random serial numbers: 128 bits, so that two are
	// never the same. RFC 5280 §4.1.2.2 allows 20 bytes.
	serialBytes = 16

	// maxNames bounds the names in a certificate that is made here, and maxName their
	// length (RFC 1035 §2.3.4). maxCommonName is RFC 5280's ub-common-name.
	maxNames      = 100
	maxName       = 253
	maxCommonName = 64

	// maxFile bounds a file in bytes. The authorities of a whole system are some 250 kB.
	maxFile = 1 << 20

	// maxCertificates bounds the certificates of a file. Each is parsed when the file
	// has changed. A system has some 150 authorities.
	maxCertificates = 1000

	// maxText bounds, in bytes, the texts of the X.509 parser that errors show: they may
	// contain a certificate's. shownNames is how many of a certificate's names, and of
	// the known authorities', an error shows.
	maxText    = 200
	shownNames = 5

	// defaultInterval is how often files are looked at, which takes three calls of stat:
	// nothing beside a TLS handshake, so that the interval could be shorter. Ten seconds
	// are as long as somebody who has replaced a file likes to wait.
	defaultInterval = 10 * time.Second

	// settleTime is how old a file's time must be before an unchanged time and size mean
	// unchanged contents. File systems' times have steps of up to two seconds.
	settleTime = 2 * time.Second

	// defaultWarning is how long before the end of a certificate warnings begin, but not
	// before the last third (1 / warningShare) of its validity. They come once a day.
	defaultWarning  = 30 * day
	warningShare    = 3
	warningInterval = day
)
