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

// maxBuckets bounds each of the two generations of buckets that a rateLimit keeps, at 150 B a
// bucket.
const maxBuckets = 50_000

// bucketKey is whose requests count together: those of an owner of tokens, or those of an address.
type bucketKey struct {
	owner   ownerHash
	address netip.Prefix
}

// rateLimit allows each bucket so many requests a second, and as many at once. When there are many
// buckets it forgets those that were not used for long: they start full again.
type rateLimit struct {
	name, flag string
	perSecond  float64

	mu     sync.Mutex
	recent map[bucketKey]*rate.Limiter
	older  map[bucketKey]*rate.Limiter
}

// newRateLimits returns the limits that are set, by what they limit.
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
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64 // what one client is given
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		network = netip.Prefix{} // no IP address: together with its like
	}
	return s.rates[a].take(bucketKey{address: network}, s.o.Now())
}

// take takes a request out of the bucket, or says when there is one again.
func (l *rateLimit) take(key bucketKey, now time.Time) *problem {
	if l == nil {
		return nil
	}
	reservation := l.bucket(key).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &problem{code: "rate-limited", retryAfter: int(math.Ceil(wait.Seconds())),
		detail: fmt.Sprintf("the limit is %v requests a second (%s)", l.perSecond, l.flag)}
}

// tell says in the answer what is left for whom it is, and in how many seconds all of it is there
// again (draft-ietf-httpapi-ratelimit-headers-11 §2).
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
		b = rate.NewLimiter(rate.Limit(l.perSecond), max(1, int(l.perSecond)))
	}
	if l.recent == nil || len(l.recent) == maxBuckets {
		l.older, l.recent = l.recent, make(map[bucketKey]*rate.Limiter)
	}
	l.recent[key] = b
	return b
}
