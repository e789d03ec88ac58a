package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// ErrSilent says that a connection brought nothing for too long, or was not
// answered.
var ErrSilent = errors.New("revocation stream: silent for 15 seconds")

// follow goes along one connection to its end. It was steady when more than the
// first line came.
func (f *Follower) follow(ctx context.Context) (steady bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	heard := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel(nil)
	watch.Go(func() { f.watch(ctx, cancel, heard) })

	body, err := f.open(ctx)
	if err != nil {
		return false, because(ctx, err)
	}
	defer body.Close()
	lines := bufio.NewReaderSize(body, maxLine)
	var service int64
	for first := true; ; first = false {
		text, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return steady, f.malformed(fmt.Errorf("a line of more than %d bytes", maxLine))
		case err != nil: // what has begun of a line comes again
			return steady, because(ctx, err)
		}
		select {
		case heard <- struct{}{}:
		case <-ctx.Done():
			return steady, because(ctx, ctx.Err())
		}
		if first {
			service, err = f.begin(text)
		} else {
			err = f.take(service, text)
		}
		if err != nil {
			return steady, f.malformed(err)
		}
		steady = !first
	}
}

// watch ends a connection that is silent.
func (f *Follower) watch(ctx context.Context, cancel context.CancelCauseFunc, heard <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-heard:
		case <-f.options.After(silence):
			cancel(ErrSilent)
			return
		}
	}
}

// because prefers why the context ended to what that looked like.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("revocation stream: %w", err)
}

// malformed is the end of a connection that brought what cannot be read: it may
// have been a revocation.
func (f *Follower) malformed(err error) error {
	f.options.Gap()
	return fmt.Errorf("revocation stream: malformed: %w", err)
}

// open asks for the stream, from where the last connection ended.
func (f *Follower) open(ctx context.Context) (io.ReadCloser, error) {
	form, header := url.Values{}, http.Header{}
	if position := f.Status().Position; position != "" {
		form.Set("after", position)
	}
	if err := f.options.Authorize(ctx, form, header); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.options.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	header.Set("Accept", "application/x-ndjson")
	header.Set("Accept-Encoding", "identity") // a compressor would hold lines back
	req.Header = header
	resp, err := f.options.Client.Do(req)
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("the engine answered %d", resp.StatusCode)
	case media != "application/x-ndjson":
		err = errors.New("the engine's answer is not application/x-ndjson")
	default:
		return resp.Body, nil
	}
	return nil, errors.Join(err, resp.Body.Close())
}

// begin takes the first line: the service, and whether what came after the
// position that was asked for is all there.
func (f *Follower) begin(text []byte) (service int64, err error) {
	l, err := parse(text)
	if err != nil {
		return 0, err
	}
	if service, err = id(l.Service); err != nil || l.Gap == nil {
		return 0, errors.New("the first line does not say where the stream begins")
	}
	gap := *l.Gap || f.Status().Position == ""
	if gap {
		f.options.Gap()
	}
	f.update(func(s *Status) { s.Connected, s.Since, s.Position = true, f.options.Now(), l.Position })
	f.options.Observe(Event{Kind: Connected, Gap: gap})
	return service, nil
}

// take carries a line out. The position moves when that is done, so that what
// was not done comes again.
func (f *Follower) take(service int64, text []byte) error {
	l, err := parse(text)
	if err != nil {
		return err
	}
	v, known, err := l.revocation(service)
	if err != nil {
		return err
	}
	switch {
	case l.Kind == "":
		f.update(func(s *Status) { s.Position = l.Position })
		return nil
	case known:
		f.options.Revoke(v)
	default:
		f.options.Gap() // of a later engine: it may mean any token
	}
	lag := max(0, f.options.Now().Sub(time.UnixMilli(l.At)))
	f.update(func(s *Status) { s.Position, s.Lag = l.Position, lag })
	f.options.Observe(Event{Kind: Revoked, Lag: lag})
	return nil
}
