package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// endpoint is an introspection endpoint (RFC 7662) for made-up tokens, all of
// which it calls active. It answers after a delay, counts, and sends questions
// about other tokens on to an engine.
type endpoint struct {
	delay  time.Duration
	engine http.Handler // nil: there are no other tokens

	asked          []atomic.Uint32 // how often, by the token's number
	sentOn         atomic.Int64
	inFlight, most atomic.Int64

	server *http.Server
	url    string
	ended  chan struct{}
}

// startEndpoint serves made-up tokens below that number over HTTP/1.1, or over
// HTTP/2 and TLS alone if there is a certificate.
func startEndpoint(tokens int, delay time.Duration, certificate *tls.Certificate, engine http.Handler) (*endpoint, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &endpoint{delay: delay, engine: engine, asked: make([]atomic.Uint32, tokens), ended: make(chan struct{})}
	e.url = "http://" + listener.Addr().String() + "/introspect"
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	if certificate != nil {
		e.url = "https" + strings.TrimPrefix(e.url, "http")
		e.server.Protocols = new(http.Protocols)
		e.server.Protocols.SetHTTP2(true)
		e.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate}}
	}
	go func() {
		defer close(e.ended)
		if certificate != nil {
			_ = e.server.ServeTLS(listener, "", "") // until it is closed
			return
		}
		_ = e.server.Serve(listener) // likewise
	}()
	return e, nil
}

func (e *endpoint) close() {
	_ = e.server.Close()
	<-e.ended
}

// ServeHTTP is part of http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<10))
	if err != nil {
		return // the client is gone
	}
	defer e.inFlight.Add(-1)
	raise(&e.most, e.inFlight.Add(1))
	i, ok := madeUpNumber(string(body))
	if !ok || i >= len(e.asked) {
		e.sendOn(w, r, string(body))
		return
	}
	e.asked[i].Add(1)
	time.Sleep(e.delay)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(madeUpAnswer(i)) // the client may be gone
}

func (e *endpoint) sendOn(w http.ResponseWriter, r *http.Request, body string) {
	if e.engine == nil {
		http.Error(w, "there is no such token", http.StatusNotFound)
		return
	}
	e.sentOn.Add(1)
	r.Body = io.NopCloser(strings.NewReader(body))
	e.engine.ServeHTTP(w, r)
}

// raise stores a number unless a higher one is there.
func raise(most *atomic.Int64, number int64) {
	for {
		old := most.Load()
		if old >= number || most.CompareAndSwap(old, number) {
			return
		}
	}
}

// counts returns of how many made-up tokens it was asked, and of how many more
// than once.
func (e *endpoint) counts() (once, again int) {
	for i := range e.asked {
		switch e.asked[i].Load() {
		case 0:
		case 1:
			once++
		default:
			once++
			again++
		}
	}
	return once, again
}

// sendTo makes what sends questions on to an engine.
func sendTo(at port) http.Handler {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", at.address(), at.host()
	}}
}

// A made-up token is as long as one of Gatehouse's own, and has a number.
const (
	madeUpPrefix = "made-up_"
	madeUpDigits = 52
)

func madeUpToken(i int) string { return fmt.Sprintf("%s%0*d", madeUpPrefix, madeUpDigits, i) }

// madeUpNumber finds the number of the token in the form of RFC 7662 §2.1.
func madeUpNumber(form string) (int, bool) {
	_, rest, found := strings.Cut(form, "token="+madeUpPrefix)
	if !found || len(rest) < madeUpDigits {
		return 0, false
	}
	i, err := strconv.Atoi(rest[:madeUpDigits])
	return i, err == nil
}

// madeUpAnswer is what an engine would say about a user's token (RFC 7662 §2.2).
func madeUpAnswer(i int) []byte {
	now := time.Now().Unix()
	return fmt.Appendf(nil, `{"active":true,"scope":"openid %s","client_id":"1f9e3c5a-web","token_type":"Bearer","exp":%d,"iat":%d,`+
		`"sub":"5be86359-073c-434b-ad2d-%012d","iss":"%s","jti":"%x",`+
		`"gatehouse":{"service":"7","token":"%d","grant":"%d","client":"7001","subject":"5be86359-073c-434b-ad2d-%012d"}}`,
		scope, now+7200, now, i, authorityIssuer, 1<<60+i, 1<<60+i, 1<<61+i, i)
}

// newCertificate makes a certificate for 127.0.0.1 that vouches for itself, and
// its PEM.
func newCertificate() (*tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
