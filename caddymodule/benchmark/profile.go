package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// writeProfiles keeps each side of a row busy and writes what Caddy's
// processor did meanwhile, as its admin endpoint on loopback tells.
func (b *bench) writeProfiles(ctx context.Context, r row) error {
	if r.sides == nil {
		return fmt.Errorf("the row %s asks no server", r.name)
	}
	what, against, err := r.sides(ctx, b)
	if err != nil {
		return err
	}
	first := b.server
	if b.onPostgres != nil {
		first = b.onPostgres
	}
	for _, s := range []struct {
		side
		server *caddyServer
		file   string
	}{{what, first, r.name + ".prof"}, {against, b.server, r.name + "-against.prof"}} {
		if err := b.profileSide(ctx, s.side, s.server, s.file); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
	}
	return nil
}

func (b *bench) profileSide(ctx context.Context, s side, server *caddyServer, file string) error {
	if _, err := s.measure(ctx, warmUp); err != nil {
		return err
	}
	fetched := make(chan error, 1)
	go func() { fetched <- b.fetchProfile(ctx, server, file) }()
	m, err := s.measure(ctx, b.duration+time.Second)
	if fetchErr := <-fetched; err == nil {
		err = fetchErr
	}
	if err == nil {
		fmt.Printf("%s: %.0f/s, %.1f µs of processor time each\n", file, m.rate(), float64(m.cost())/1000)
	}
	return err
}

func (b *bench) fetchProfile(ctx context.Context, server *caddyServer, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", server.Admin, max(1, int(b.duration.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
