package api

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds each of the two generations of buckets that a rateLimit keeps, at 150 B per bucket.
const maxBuckets = 50_000

// bucketKey is whose requests count together: those of a token owner, or those of an address.
type bucketKey struct {
	owner   ownerHash
	address netip.Prefix
}

// rateLimit allows each bucket perSecond requests per second, and as many at once. When there are many buckets it
// forgets those that were not used for long: they start full again.
type rateLimit struct {
	name, flag string
	perSecond  float64

	mu     sync.Mutex
	recent map[bucketKey]*rate.Limiter
	older  map[bucketKey]*rate.Limiter
}

// newRateLimits returns the configured limits, by what they limit.
func newRateLimits(o Options) map[access]*rateLimit {
	limits := make(map[access]*rateLimit)
	if o.RatePublish > 0 {
		limits[publishing] = &rateLimit{name: "publish", flag: "--rate-publish", perSecond: o.RatePublish}
	}
	if o.RateRead > 0 {
		read := &rateLimit{name: "read", flag: "--rate-read", perSecond: o.RateRead}
		for _, a := range []access{open, anyToken, reading, listing, streaming, admin, scraping} {
			limits[a] = read
		}
	}
	return limits
}

func (s *Server) limitOwner(c *caller, a access) *problem {
	return s.rates[a].take(bucketKey{owner: c.owner}, s.o.Now())
}

func (s *Server) limitAddress(r *http.Request, a access) *problem {
	if !s.o.RatePerAddress {
		return nil
	}
	addr := s.clientAddr(r)
	if !addr.Is6() {
		network, _ := addr.Prefix(addr.BitLen()) // zero without an IP address: all of these together
		return s.rates[a].take(bucketKey{address: network}, s.o.Now())
	}
	for _, bits := range []int{64, siteBits} {
		network, _ := addr.Prefix(bits)
		if p := s.rates[a].take(bucketKey{address: network}, s.o.Now()); p != nil {
			return p
		}
	}
	return nil
}

// An IPv6 client has a network of 64 bits, or many: a customer is given up to a /48 (RIPE-690 §4.2). So such a site
// has a rate too, which it reaches with more than siteRate clients at their own rates.
const (
	siteBits = 48
	siteRate = 16
)

// take takes a request out of the bucket, or reports when there will be one again.
func (l *rateLimit) take(key bucketKey, now time.Time) *problem {
	if l == nil {
		return nil
	}
	bucket := l.bucket(key)
	reservation := bucket.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &problem{code: "rate-limited", retryAfter: int(math.Ceil(wait.Seconds())),
		detail: fmt.Sprintf("the limit is %v requests a second (%s)", float64(bucket.Limit()), l.flag)}
}

// tell reports in the response what the caller has left, and in how many seconds the limit is full again
// (draft-ietf-httpapi-ratelimit-headers-11 §2).
func (l *rateLimit) tell(h http.Header, key bucketKey, now time.Time) {
	if l == nil {
		return
	}
	b := l.bucket(key)
	left := max(0, b.TokensAt(now))
	full := math.Ceil((float64(b.Burst()) - left) / l.perSecond)
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", l.name, b.Burst(),
		max(1, int(float64(b.Burst())/l.perSecond))))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", l.name, int(left), int(full)))
}

func (l *rateLimit) bucket(key bucketKey) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.recent[key]; ok {
		return b
	}
	b, ok := l.older[key]
	if !ok {
		times := 1
		if key.address.Bits() == siteBits {
			times = siteRate
		}
		b = rate.NewLimiter(rate.Limit(l.perSecond*float64(times)), times*max(1, int(l.perSecond)))
	}
	if l.recent == nil || len(l.recent) == maxBuckets {
		l.older, l.recent = l.recent, make(map[bucketKey]*rate.Limiter)
	}
	l.recent[key] = b
	return b
}
