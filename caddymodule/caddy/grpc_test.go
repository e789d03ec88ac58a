package main_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// tlsSite is the API over TLS.
const tlsSite = `https://localhost:{$APP} {
	tls internal
	gatehouse_bearer {
		scopes orders:read
		forward sub X-User
		forward client_id X-Client
	}
	reverse_proxy 127.0.0.1:{$UP}
}`

// certified waits for the certificate of a site, which Caddy issues
// after the start, and trusts its authority and nobody else.
func (s *server) certified(site string) (c *tls.Config) {
	s.t.Helper()
	wait(s.t, "the certificate", func() error {
		client, err := trusting(filepath.Join(s.folder, "caddy", "pki", "authorities", "local", "root.crt"))
		if err != nil {
			return err
		}
		c = client.Transport.(*http.Transport).TLSClientConfig
		_, err = try(client, http.MethodGet, strings.Replace(site, "http:", "https:", 1), "")
		return err
	})
	return c
}

// TestGRPC (promises 8 and 9): calls of every kind pass, message by message in
// both directions, with metadata and trailers, but for identity headers. A
// refusal is HTTP's 401, 403 or 400, which gRPC takes for UNAUTHENTICATED,
// PERMISSION_DENIED and INTERNAL; the connection goes on.
func TestGRPC(t *testing.T) {
	api := startGRPC(t)
	s := startGateway(t, "h2c://"+api.address, "sites", tlsSite)
	good, poor := "Bearer "+s.serviceToken("orders:read"), "Bearer "+s.serviceToken("orders:write")
	for name, site := range map[string]struct {
		address     string
		credentials credentials.TransportCredentials
	}{
		"TLS":         {s.app, credentials.NewTLS(s.certified(s.app))},
		"without TLS": {s.api, insecure.NewCredentials()},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialGRPC(t, site.address, site.credentials)
			headers := []string{"authorization", good, "x-note", "kept", "x-user", "admin", "x_user", "admin", "x.user", "admin", "x-client", "admin"}
			c.unary(headers...)
			c.serverStream(api.next, headers...)
			c.bidirectional(headers...)

			before := api.arrived.Load()
			c.refused("no token", codes.Unauthenticated)
			c.refused("an unknown token", codes.Unauthenticated, "authorization", "Bearer unknown")
			c.refused("too small a scope", codes.PermissionDenied, "authorization", poor)
			c.refused("two tokens", codes.Internal, "authorization", good, "authorization", good)
			api.unreached(t, before)

			c.unary(headers...)
			if n := c.dialled.Load(); n != 1 {
				t.Errorf("%d connections, want the first to go on", n)
			}
		})
	}
}

// grpcAPI answers each message with itself, the message "end" with an error,
// and "count" with numbers, the second when the test says so. Its trailers
// tell who it thinks has called.
type grpcAPI struct {
	upstream
	next chan bool
}

func startGRPC(t *testing.T) *grpcAPI {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := &grpcAPI{next: make(chan bool, 1)}
	api.address = listener.Addr().String()
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		api.arrived.Add(1)
		stream.SetTrailer(metadata.Pairs("x-caller", caller(stream.Context())))
		for {
			m := new(wrapperspb.StringValue)
			if err := stream.RecvMsg(m); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if err := api.answer(stream, m); err != nil {
				return err
			}
		}
	}))
	t.Cleanup(s.Stop)
	go func() { _ = s.Serve(listener) }()
	return api
}

func (api *grpcAPI) answer(stream grpc.ServerStream, m *wrapperspb.StringValue) error {
	switch m.Value {
	case "end":
		return grpcstatus.Error(codes.DataLoss, "the end")
	case "count":
		if err := stream.SendMsg(wrapperspb.String("1")); err != nil {
			return err
		}
		select {
		case <-api.next:
			return stream.SendMsg(wrapperspb.String("2"))
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	return stream.SendMsg(m)
}

// caller is what a call says about who makes it.
func caller(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	var list []string
	for name, values := range md {
		if slices.Contains(values, "admin") || strings.Contains(name, "client") || name == "x-note" {
			list = append(list, fmt.Sprint(name, values))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// grpcClient is a channel to a site.
type grpcClient struct {
	t       *testing.T
	conn    *grpc.ClientConn
	dialled atomic.Int64
}

func dialGRPC(t *testing.T, address string, c credentials.TransportCredentials) (client *grpcClient) {
	t.Helper()
	client = &grpcClient{t: t}
	authority := strings.TrimPrefix(address, "http://")
	var err error
	client.conn, err = grpc.NewClient("passthrough:///"+strings.Replace(authority, "localhost", "127.0.0.1", 1),
		grpc.WithTransportCredentials(c), grpc.WithAuthority(authority),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			client.dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.conn.Close() })
	return client
}

// context carries metadata, and ends when patience does.
func (c *grpcClient) context(headers []string) context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	c.t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, headers...)
}

func (c *grpcClient) unary(headers ...string) {
	c.t.Helper()
	var trailer metadata.MD
	answer := new(wrapperspb.StringValue)
	err := c.conn.Invoke(c.context(headers), "/test.Echo/Unary", wrapperspb.String("hello"), answer, grpc.Trailer(&trailer))
	if err != nil || answer.Value != "hello" {
		c.t.Errorf("unary: %q %v", answer.Value, err)
	}
	c.checkCaller(trailer)
}

func (c *grpcClient) serverStream(next chan<- bool, headers ...string) {
	c.t.Helper()
	stream := c.open(headers)
	c.say(stream, "count")
	if err := stream.CloseSend(); err != nil {
		c.t.Fatal(err)
	}
	c.hear(stream, "1")
	next <- true
	c.hear(stream, "2")
	if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
		c.t.Errorf("after the last message: %v", err)
	}
	c.checkCaller(stream.Trailer())
}

func (c *grpcClient) bidirectional(headers ...string) {
	c.t.Helper()
	stream := c.open(headers)
	for _, m := range []string{"a", strings.Repeat("b", 1<<20), "c"} {
		c.say(stream, m)
		c.hear(stream, m) // before the next is sent
	}
	c.say(stream, "end")
	if err := stream.RecvMsg(new(wrapperspb.StringValue)); grpcstatus.Code(err) != codes.DataLoss || grpcstatus.Convert(err).Message() != "the end" {
		c.t.Errorf("at the end: %v", err)
	}
	c.checkCaller(stream.Trailer())
}

func (c *grpcClient) open(headers []string) grpc.ClientStream {
	c.t.Helper()
	stream, err := c.conn.NewStream(c.context(headers), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Echo/Stream")
	if err != nil {
		c.t.Fatal(err)
	}
	return stream
}

func (c *grpcClient) say(stream grpc.ClientStream, text string) {
	c.t.Helper()
	if err := stream.SendMsg(wrapperspb.String(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *grpcClient) hear(stream grpc.ClientStream, want string) {
	c.t.Helper()
	m := new(wrapperspb.StringValue)
	if err := stream.RecvMsg(m); err != nil || m.Value != want {
		c.t.Fatalf("heard %.20q %v, want %.20q", m.Value, err, want)
	}
}

func (c *grpcClient) checkCaller(trailer metadata.MD) {
	c.t.Helper()
	if got, want := trailer["x-caller"], "x-client["+demo+"] x-note[kept]"; len(got) != 1 || got[0] != want {
		c.t.Errorf("the API was called by %q, want %q", got, want)
	}
}

// refused expects an answer to a call and to a stream that has not ended.
func (c *grpcClient) refused(what string, want codes.Code, headers ...string) {
	c.t.Helper()
	err := c.conn.Invoke(c.context(headers), "/test.Echo/Unary", wrapperspb.String("x"), new(wrapperspb.StringValue))
	if grpcstatus.Code(err) != want {
		c.t.Errorf("%s: %v, want %s", what, err, want)
	}
	if err := c.open(headers).RecvMsg(new(wrapperspb.StringValue)); grpcstatus.Code(err) != want {
		c.t.Errorf("%s, a stream: %v, want %s", what, err, want)
	}
}

// TestTrailersOverHTTP2 (promise 8, threat 23): request trailers pass, but for
// identity headers; a refusal over HTTP/2 has RFC 6750's challenge.
func TestTrailersOverHTTP2(t *testing.T) {
	arrived := make(chan http.Header, 1)
	api := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- r.Trailer
	})
	s := startGateway(t, "h2c://"+api.address)
	client := clientOf(t, protocols(false, true))
	for _, test := range []struct {
		name, token string
		want        int
	}{{"no token", "", 401}, {"with a token", s.serviceToken("orders:read"), 200}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.api+"/test.Echo/Unary", strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/grpc")
		r.Trailer = http.Header{"X-Client": {"admin"}, "X-User": {"admin"}, "X_user": {"admin"}, "X-Note": {"kept"}}
		if test.token != "" {
			r.Header.Set("Authorization", "Bearer "+test.token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.want || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s %s", test.name, resp.Proto, resp.Status)
		}
		if challenge := resp.Header.Get("WWW-Authenticate"); test.want == 401 && challenge != `Bearer scope="orders:read"` {
			t.Errorf("challenge %q", challenge)
		}
	}
	if got := receive(t, arrived); len(got) != 1 || got.Get("X-Note") != "kept" {
		t.Errorf("trailers %v", got)
	}
}
