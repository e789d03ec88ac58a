package fetch

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Document is what an address led to.
type Document struct {
	Body        []byte        // at most Options.MaxBytes
	ContentType string        // the media type in lower case, without parameters; empty when missing or malformed
	MaxAge      time.Duration // how long it stays fresh: 0 (not, or not stated) to MaxFreshness
}

// Response is a document and the status that it came with.
type Response struct {
	Document
	Status int
}

// MaxFreshness bounds [Document].MaxAge: whoever once served a document for a
// moment, a taken-over domain for one, does not determine it for years.
const MaxFreshness = 24 * time.Hour

// read checks an answer and reads its body.
func (c *Client) read(res *http.Response, r Request) (Response, error) {
	failed := Response{Status: res.StatusCode}
	if err := checkStatus(r.Method, res.StatusCode); err != nil {
		return failed, err
	}
	// None was asked for, and nothing here inflates what comes regardless.
	for _, coding := range res.Header["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return failed, fail(ErrUnexpected, "the body is encoded")
		}
	}
	kind := mediaType(res.Header)
	if len(r.Accept) > 0 && (kind == "" || !slices.Contains(r.Accept, kind)) {
		return failed, fail(ErrUnexpected, "the media type is not %s", strings.Join(r.Accept, " or "))
	}
	body, err := c.readBody(res)
	if err != nil {
		return failed, err
	}
	return Response{
		Status:   res.StatusCode,
		Document: Document{Body: body, ContentType: kind, MaxAge: freshness(res.Header, c.options.Now())},
	}, nil
}

// readBody reads one byte more than is allowed, to know that there is one.
func (c *Client) readBody(res *http.Response) ([]byte, error) {
	most := c.options.MaxBytes
	if res.ContentLength > most {
		return nil, fail(ErrTooLarge, "more than %d bytes", most)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case int64(len(body)) > most:
		return nil, fail(ErrTooLarge, "more than %d bytes", most)
	case err != nil:
		return nil, clean(res.Request.Context(), err)
	}
	return body, nil
}

func checkStatus(method string, status int) error {
	switch {
	case status == http.StatusOK, method == http.MethodPost && status/100 == 2:
		return nil
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return fail(ErrUnavailable, "status %d", status)
	}
	return fail(ErrUnexpected, "status %d", status)
}

// mediaType is empty for anything but one well-formed Content-Type.
func mediaType(h http.Header) string {
	values := h["Content-Type"]
	if len(values) != 1 {
		return ""
	}
	kind, _, err := mime.ParseMediaType(values[0])
	if err != nil || !strings.Contains(kind, "/") {
		return ""
	}
	return kind
}

// freshness is an answer's freshness lifetime less its age (RFC 9111 §4.2),
// from 0 to [MaxFreshness]. Where §4.2.1 leaves the choice, it is the shorter
// one. No heuristic is applied: what does not say how long it is fresh, is not.
func freshness(h http.Header, now time.Time) time.Duration {
	lifetime, stated := maxAge(h)
	if !stated {
		lifetime = untilExpiry(h, now)
	}
	if age := h.Get("Age"); age != "" { // §5.1
		lifetime -= seconds(age, MaxFreshness)
	}
	return min(max(lifetime, 0), MaxFreshness)
}

// maxAge reads Cache-Control. stated is false when it says nothing about it.
func maxAge(h http.Header) (lifetime time.Duration, stated bool) {
	lifetime = MaxFreshness
	for directive := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			lifetime, stated = min(lifetime, seconds(value, 0)), true
		}
	}
	return lifetime, stated
}

func untilExpiry(h http.Header, now time.Time) time.Duration {
	expires, err := http.ParseTime(h.Get("Expires"))
	if err != nil {
		return 0 // §5.3: a malformed one has passed
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return expires.Sub(now)
}

// seconds reads delta-seconds (RFC 9111 §1.2.2), quoted or not, up to
// [MaxFreshness]; what is none counts as otherwise.
func seconds(text string, otherwise time.Duration) time.Duration {
	text = strings.Trim(text, `"`)
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return MaxFreshness // out of range
	}
	return min(time.Duration(n)*time.Second, MaxFreshness)
}
