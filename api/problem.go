package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"tidings/alert"
	"tidings/internal/nodes"
	"tidings/internal/wire"
	"tidings/store"
)

// kind is one row of the table of errors: what a code means in HTTP.
type kind struct {
	status int
	title  string
}

// kinds is the only place that knows the status codes of errors.
var kinds = map[string]kind{
	"bad-path":              {http.StatusBadRequest, "Path is not canonical"},
	"query-invalid":         {http.StatusBadRequest, "Query is invalid"},
	"topic-invalid":         {http.StatusBadRequest, "Topic or pattern is invalid"},
	"too-many-topics":       {http.StatusBadRequest, "Too many topics in one subscription"},
	"type-invalid":          {http.StatusBadRequest, "Event type is invalid"},
	"id-invalid":            {http.StatusBadRequest, "ID is invalid"},
	"bad-body":              {http.StatusBadRequest, "Body could not be read"},
	"empty-body":            {http.StatusBadRequest, "Body is empty"},
	"json-invalid":          {http.StatusBadRequest, "Body is not valid JSON"},
	"body-not-empty":        {http.StatusBadRequest, "Body is not empty"},
	"empty-batch":           {http.StatusBadRequest, "Batch is empty"},
	"member-invalid":        {http.StatusBadRequest, "Member of the JSON object is invalid"},
	"cloudevent-invalid":    {http.StatusBadRequest, "CloudEvent is invalid"},
	"name-invalid":          {http.StatusBadRequest, "Name is invalid"},
	"key-invalid":           {http.StatusBadRequest, "Idempotency-Key is invalid"},
	"condition-invalid":     {http.StatusBadRequest, "Condition is invalid"},
	"data-not-text":         {http.StatusBadRequest, "Data is not text"},
	"token-ambiguous":       {http.StatusBadRequest, "Token is given more than once"},
	"query-token-off":       {http.StatusUnauthorized, "Token in the query"},
	"token-missing":         {http.StatusUnauthorized, "Token is missing"},
	"token-invalid":         {http.StatusUnauthorized, "Token is not valid"},
	"token-claims":          {http.StatusUnauthorized, "Token has bad claims"},
	"topic-forbidden":       {http.StatusForbidden, "Topic is not granted"},
	"topic-reserved":        {http.StatusForbidden, "Topic is reserved for the server"},
	"subject-required":      {http.StatusForbidden, "Token names nobody"},
	"admin-required":        {http.StatusForbidden, "Token does not grant administration"},
	"origin-forbidden":      {http.StatusForbidden, "Origin is not allowed"},
	"not-found":             {http.StatusNotFound, "Not found"},
	"subscriber-not-found":  {http.StatusNotFound, "Subscriber not found"},
	"mark-not-found":        {http.StatusNotFound, "Read mark not found"},
	"dead-letter-not-found": {http.StatusNotFound, "Dead letter not found"},
	"alert-not-found":       {http.StatusNotFound, "Alert not found"},
	"alert-rule-not-found":  {http.StatusNotFound, "Alert rule not found"},
	"device-not-found":      {http.StatusNotFound, "Device not found"},
	"delivery-not-found":    {http.StatusNotFound, "Delivery not found"},
	"event-not-found":       {http.StatusNotFound, "Event not found"},
	"topic-not-found":       {http.StatusNotFound, "Topic not found"},
	"method-not-allowed":    {http.StatusMethodNotAllowed, "Method not allowed"},
	"not-acceptable":        {http.StatusNotAcceptable, "No acceptable representation"},
	"body-timeout":          {http.StatusRequestTimeout, "Body did not arrive in time"},
	"backup-busy":           {http.StatusConflict, "Another backup is being made"},
	"delivery-state":        {http.StatusConflict, "Delivery state does not allow this"},
	"topic-ended":           {http.StatusConflict, "Topic has ended"},
	"alert-claimed":         {http.StatusConflict, "Alert is claimed"},
	"alert-closed":          {http.StatusConflict, "Alert is done"},
	"alert-open":            {http.StatusConflict, "Alert is not done"},
	"condition-failed":      {http.StatusPreconditionFailed, "Condition failed"},
	"batch-too-large":       {http.StatusRequestEntityTooLarge, "Batch has too many events"},
	"body-too-large":        {http.StatusRequestEntityTooLarge, "Body is too large"},
	"media-unsupported":     {http.StatusUnsupportedMediaType, "Content type is not supported"},
	"encoding-unsupported":  {http.StatusUnsupportedMediaType, "Content encoding is not supported"},
	"proxy-not-allowed":     {http.StatusMisdirectedRequest, "Proxy is not allowed without a key"},
	"host-not-allowed":      {http.StatusMisdirectedRequest, "Host is not allowed"},
	"token-too-long":        {http.StatusUnprocessableEntity, "Token is too long for a cookie"},
	"idempotency-mismatch": {http.StatusUnprocessableEntity,
		"Idempotency-Key was used for something else"},
	"json-too-deep":       {http.StatusUnprocessableEntity, "JSON is nested too deep"},
	"address-refused":     {http.StatusUnprocessableEntity, "Address may not be reached"},
	"type-reserved":       {http.StatusUnprocessableEntity, "Event type is reserved"},
	"mark-quota":          {http.StatusTooManyRequests, "Read mark limit reached"},
	"alert-rule-quota":    {http.StatusTooManyRequests, "Alert rule limit reached"},
	"device-quota":        {http.StatusTooManyRequests, "Device limit reached"},
	"delivery-quota":      {http.StatusTooManyRequests, "Delivery limit reached"},
	"topic-quota":         {http.StatusTooManyRequests, "Topic limit reached"},
	"rate-limited":        {http.StatusTooManyRequests, "Too many requests"},
	"internal":            {http.StatusInternalServerError, "Internal error"},
	"event-corrupt":       {http.StatusInternalServerError, "Event is damaged"},
	"outcome-unknown":     {http.StatusInternalServerError, "Outcome is unknown"},
	"backup-unsupported":  {http.StatusNotImplemented, "Log cannot be copied"},
	"outcome-pending":     {http.StatusServiceUnavailable, "Outcome not known yet"},
	"log-unavailable":     {http.StatusServiceUnavailable, "Log is not available"},
	"node-unavailable":    {http.StatusServiceUnavailable, "Another node does not respond"},
	"disk-hangs":          {http.StatusServiceUnavailable, "Disk hangs"},
	"queue-full":          {http.StatusServiceUnavailable, "Commit queue is full"},
	"memory-full":         {http.StatusServiceUnavailable, "Out of request memory"},
	"draining":            {http.StatusServiceUnavailable, "Server is shutting down"},
	"keys-unavailable":    {http.StatusServiceUnavailable, "Token keys unavailable"},
	"secrets-unavailable": {http.StatusServiceUnavailable, "Secrets key unavailable"},
	"log-failed":          {http.StatusServiceUnavailable, "Log accepts no writes"},
	"no-space":            {http.StatusInsufficientStorage, "No space left"},
}

// What became of the events of a refused publish.
const (
	notStored = "not_stored"
	unknown   = "unknown"
)

// problem is an error response. Its outcome is filled in for publishes.
type problem struct {
	code     string
	detail   string
	field    string // the offending parameter, header or member
	index    *int   // of the entry of a batch
	outcome  string
	current  *store.ID // the topic's newest event, for a condition that failed; nil if there is none
	holder   *alert.Holder
	maxBytes int64
	offset   int64
	// retryAfter is when to try again, in whole seconds; 0 means soon.
	retryAfter int
	cause      error // for the log only
}

// left reports whether the request ended because its client left: then nothing is wrong.
func (p *problem) left() bool { return errors.Is(p.cause, context.Canceled) }

// problemBody is the wire form (RFC 9457).
type problemBody struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Code      string        `json:"code"`
	RequestID string        `json:"request_id"`
	Outcome   string        `json:"outcome,omitempty"`
	Current   *store.ID     `json:"current,omitempty"`
	Holder    *alert.Holder `json:"holder,omitempty"`
	Field     string        `json:"field,omitempty"`
	Index     *int          `json:"index,omitempty"`
	MaxBytes  int64         `json:"max_bytes,omitempty"`
	Offset    int64         `json:"offset,omitempty"`
}

// fail answers with p and logs it under the request ID in the response.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, p *problem) {
	k := kinds[p.code]
	body := problemBody{
		Type: "/problems/" + p.code, Title: k.title, Status: k.status, Detail: p.detail,
		Code: p.code, RequestID: rand.Text(),
		Outcome: p.outcome, Current: p.current, Holder: p.holder, Field: p.field, Index: p.index,
		MaxBytes: p.maxBytes, Offset: p.offset,
	}
	facts := []any{"request_id", body.RequestID, "code", p.code, "method", r.Method, "path",
		r.URL.Path, "remote", s.clientAddr(r), "detail", p.detail, "error", p.cause}
	// the three left out are logged where they occur
	if k.status >= http.StatusInternalServerError && p.cause != nil && !p.left() &&
		p.code != "draining" && p.code != "no-space" && p.code != "disk-hangs" {
		s.logSeldom(p.code, slog.LevelError, "request failed", facts...)
	} else {
		s.o.Logger.Debug("request failed", facts...)
	}
	h := w.Header()
	switch k.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(max(1, p.retryAfter)))
	case http.StatusUnsupportedMediaType:
		h.Set("Accept-Encoding", "identity")
	}
	// also where a stream was requested
	writeJSON(w, k.status, "application/problem+json", body)
}

// at names the entry of a batch that p is about, counted from 0.
func (p *problem) at(index int) *problem {
	p.index = &index
	return p
}

// wireProblem returns what an error of a parser means to a client: what the parser reports; nil for nil.
func wireProblem(err error) *problem {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		return storeProblem(err)
	}
	return &problem{code: e.Code, detail: e.Detail, field: e.Field, index: e.Index,
		maxBytes: e.MaxBytes, offset: e.Offset}
}

// storeKinds are the errors of the log, with what they mean to a client. The first match counts. An empty detail is
// the error's own text.
var storeKinds = []struct {
	err          error
	code, detail string
}{
	{store.ErrEnded, "topic-ended",
		"the topic has ended: nothing can be published to it any more"},
	{store.ErrKeyMismatch, "idempotency-mismatch",
		"the key was used for an event with another topic, type, content type or data"},
	{store.ErrCondition, "condition-failed",
		"the topic's newest event is not the one in the condition; read the new events and decide again"},
	{store.ErrNotFound, "event-not-found",
		"no event with this ID: it never existed or was trimmed"},
	{store.ErrCorrupt, "event-corrupt",
		"the event's record failed its checksum and is withheld"},
	{store.ErrInvalid, "topic-invalid", ""},
	{store.ErrMarkLimit, "mark-quota", ""},
	{store.ErrTopicLimit, "topic-quota", ""},
	{store.ErrDiskHangs, "disk-hangs", ""},
	{nodes.ErrNoLease, "node-unavailable",
		"this server no longer runs deliveries and alerts, or cannot confirm that it does; nothing was stored"},
	{store.ErrUnavailable, "log-unavailable",
		"the cluster that keeps the log does not answer; nothing was stored"},
	{store.ErrQueueFull, "queue-full", "the disk did not keep up; nothing was stored"},
	{store.ErrNoSpace, "no-space",
		"the disk is full; nothing was stored, and publishing works again once there is room"},
	{store.ErrBusy, "backup-busy",
		"another backup is being made or fetched; there is one at a time"},
	{store.ErrClosed, "draining", "the server is shutting down"},
	{store.ErrOutcomeUnknown, "outcome-unknown", "the disk reported an error during the commit; " +
		"a later start decides whether the event is stored"},
	{store.ErrFailed, "log-failed",
		"the log has failed and accepts no writes until the server is started again"},
}

// storeProblem returns what an error of the log means to a client.
func storeProblem(err error) *problem {
	p := &problem{code: "internal", cause: err,
		detail: "the server's log has the cause under the request ID"}
	for _, k := range storeKinds {
		if errors.Is(err, k.err) {
			p.code, p.detail = k.code, cmp.Or(k.detail, err.Error())
			break
		}
	}
	if p.code == "outcome-unknown" {
		p.outcome = unknown
		if !errors.Is(err, store.ErrFailed) {
			p.code = "outcome-pending"
			p.detail = "the commit did not finish in time; the event may still be stored"
		}
	}
	if condition := (*store.ConditionError)(nil); errors.As(err, &condition) {
		p.current = idOrNull(condition.Newest)
	}
	var group *store.GroupError
	if errors.As(err, &group) {
		p.index = &group.Index
	}
	return p
}
