package main_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Opcodes of RFC 6455 §11.8.
const (
	textFrame   = 0x1
	binaryFrame = 0x2
	closeFrame  = 0x8
)

// TestWebSocket (promise 8, threat 23, CVE-2024-45410): an upgrade passes with a
// token, and what its Connection header lists besides takes away no identity
// header. Without a token it is a 401 on a connection that goes on.
func TestWebSocket(t *testing.T) {
	api := startWebSocket(t)
	s := startGateway(t, api.address)
	token := "Authorization: Bearer " + s.serviceToken("orders:read")
	for _, connection := range []string{"Upgrade", "upgrade, keep-alive", "Upgrade, X-Client", "x_client, Upgrade, X-User", "Upgrade, Authorization"} {
		t.Run(connection, func(t *testing.T) {
			ws := dialWebSocket(t, s.api)
			before := api.arrived.Load()
			r := ws.upgrade(connection, "X-Client: admin", "X-User: admin", "x_user: admin")
			if r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != `Bearer scope="orders:read"` || r.header.Get("Upgrade") != "" {
				t.Fatalf("without a token: %d %v", r.status, r.header)
			}
			api.unreached(t, before)

			r = ws.upgrade(connection, "X-Client: admin", "X-User: admin", "x_user: admin", token)
			if r.status != http.StatusSwitchingProtocols || r.header.Get("X-Caller") != demo+" []" {
				t.Fatalf("with a token: %d, the caller is %q", r.status, r.header.Get("X-Caller"))
			}
			ws.echo(textFrame, []byte("hello"))
			ws.echo(binaryFrame, bytes.Repeat([]byte{0, 1, 2, 3}, 50<<10))
			ws.send(closeFrame, []byte{0x03, 0xe8})
			if opcode, payload := ws.receive(); opcode != closeFrame || !bytes.Equal(payload, []byte{0x03, 0xe8}) {
				t.Errorf("closing: %x %x", opcode, payload)
			}
		})
	}
}

// TestWebSocketAndReload (promise 12): what happens to WebSockets on a reload is
// reverse_proxy's stream_close_delay. With it they go on, on the configuration
// that they began with; without it they are told to go (1001, RFC 6455 §7.4.1).
func TestWebSocketAndReload(t *testing.T) {
	api := startWebSocket(t)
	text := strings.Replace(caddyfile(t, "sites", `http://localhost:{$APP} {
	gatehouse_bearer {
		scopes orders:read
		forward client_id X-Client
	}
	reverse_proxy `+api.address+` {
		stream_close_delay 1m
	}
}`), "reverse_proxy 127.0.0.1:{$UP}", "reverse_proxy "+api.address, 1)
	s := startOwn(t, text)
	token := "Authorization: Bearer " + s.serviceToken("orders:read")
	delayed, ended := openWebSocket(t, s.app, token), openWebSocket(t, s.api, token)
	delayed.echo(textFrame, []byte("before"))
	ended.echo(textFrame, []byte("before"))

	s.load(strings.ReplaceAll(text, "scopes orders:read", "scopes orders:write"))
	if opcode, payload := ended.receive(); opcode != closeFrame || !bytes.HasPrefix(payload, []byte{0x03, 0xe9}) {
		t.Errorf("without a delay: %x %q", opcode, payload)
	}
	delayed.echo(textFrame, []byte("after"))
	if r := dialWebSocket(t, s.app).upgrade("Upgrade", token); r.status != http.StatusForbidden {
		t.Errorf("a new one under the new policy: %d", r.status)
	}
	delayed.conn.Close()
}

// startWebSocket is an API that sends every message back.
func startWebSocket(t *testing.T) *upstream {
	t.Helper()
	return startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nX-Caller: %s %s\r\n\r\n",
			acceptOf(r.Header.Get("Sec-WebSocket-Key")), r.Header.Get("X-Client"), append(r.Header["X-User"], r.Header["X_user"]...))
		for rw.Flush() == nil {
			opcode, payload, err := readFrame(rw.Reader)
			if err != nil || writeFrame(rw, opcode, payload, false) != nil {
				return
			}
		}
	})
}

// acceptOf answers a key (RFC 6455 §4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// webSocket is a client's end.
type webSocket struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
}

// dialWebSocket connects to a site.
func dialWebSocket(t *testing.T, address string) *webSocket {
	t.Helper()
	conn := dial(t, address)
	return &webSocket{t, conn, bufio.NewReader(conn)}
}

// openWebSocket connects to a site and upgrades.
func openWebSocket(t *testing.T, address string, headers ...string) *webSocket {
	t.Helper()
	ws := dialWebSocket(t, address)
	if r := ws.upgrade("Upgrade", headers...); r.status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", r.status)
	}
	return ws
}

// upgrade asks for the protocol and reads the answer (RFC 6455 §4.1).
func (ws *webSocket) upgrade(connection string, headers ...string) *reply {
	ws.t.Helper()
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	text := base64.StdEncoding.EncodeToString(key)
	_, err := io.WriteString(ws.conn, lines(append([]string{"GET /socket HTTP/1.1", "Host: localhost", "Connection: " + connection,
		"Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + text}, headers...)...))
	if err != nil {
		ws.t.Fatal(err)
	}
	r, err := readAnswer(ws.reader, http.MethodGet)
	if err != nil {
		ws.t.Fatal(err)
	}
	if accept := r.header.Get("Sec-WebSocket-Accept"); r.status == http.StatusSwitchingProtocols && accept != acceptOf(text) {
		ws.t.Errorf("the key %s is answered by %s", text, accept)
	}
	return r
}

func (ws *webSocket) send(opcode byte, payload []byte) {
	ws.t.Helper()
	if err := writeFrame(ws.conn, opcode, payload, true); err != nil {
		ws.t.Fatal(err)
	}
}

func (ws *webSocket) receive() (opcode byte, payload []byte) {
	ws.t.Helper()
	opcode, payload, err := readFrame(ws.reader)
	if err != nil {
		ws.t.Fatal(err)
	}
	return opcode, payload
}

func (ws *webSocket) echo(opcode byte, payload []byte) {
	ws.t.Helper()
	ws.send(opcode, payload)
	if gotOpcode, got := ws.receive(); gotOpcode != opcode || !bytes.Equal(got, payload) {
		ws.t.Errorf("%x %.20q comes back as %x %.20q", opcode, payload, gotOpcode, got)
	}
}

// writeFrame writes a whole message (RFC 6455 §5.2), masked as a client must. It
// knows the lengths below 126 bytes and from 64 KiB.
func writeFrame(w io.Writer, opcode byte, payload []byte, masked bool) error {
	frame := []byte{0x80 | opcode, 127, 0, 0, 0, 0, byte(len(payload) >> 24), byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload))}
	if len(payload) < 126 {
		frame = []byte{0x80 | opcode, byte(len(payload))}
	}
	if masked {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // the mask that changes nothing
	}
	_, err := w.Write(append(frame, payload...))
	return err
}

// readFrame reads a message of less than a mebibyte.
func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	field := func(n int) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		return b
	}
	head, mask := field(2), make([]byte, 4)
	length := []byte{head[1] & 0x7f}
	switch length[0] {
	case 126:
		length = field(2)
	case 127:
		length = field(8)
	}
	if head[1]&0x80 != 0 {
		mask = field(4)
	}
	n := 0
	for _, b := range length {
		n = n<<8 | int(b)
	}
	if err != nil || n < 0 || n > 1<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes: %w", n, err)
	}
	payload = field(n)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, err
}
