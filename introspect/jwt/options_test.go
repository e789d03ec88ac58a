package jwt

import (
	"crypto/x509"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"
)

// Threat 35 and promise 10: a configuration that is incomplete or makes no
// sense is an error, and never open.
func TestOptions(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	for name, c := range map[string]struct {
		change func(*Options)
		ok     bool
	}{
		"as they are":                   {func(*Options) {}, true},
		"no issuer":                     {func(o *Options) { o.Issuer = "" }, false},
		"no issuer, keys given":         {func(o *Options) { o.Issuer, o.KeySet = "", jwks(s.public(t)) }, false},
		"any issuer, keys given":        {func(o *Options) { o.Issuer, o.KeySet = "the issuer", jwks(s.public(t)) }, true},
		"http":                          {func(o *Options) { o.Issuer = "http://as.example.com" }, false},
		"http on this machine":          {func(o *Options) { o.Issuer = "http://localhost:8080" }, true},
		"http on this machine, IPv6":    {func(o *Options) { o.Issuer = "http://[::1]:8080" }, true},
		"http on what looks like it":    {func(o *Options) { o.Issuer = "http://127.0.0.1.example.com" }, false},
		"another scheme":                {func(o *Options) { o.Issuer = "file:///issuer" }, false},
		"an issuer with a query":        {func(o *Options) { o.Issuer = "https://as.example.com?a" }, false},
		"an issuer with a fragment":     {func(o *Options) { o.Issuer = "https://as.example.com#a" }, false},
		"an issuer with a password":     {func(o *Options) { o.Issuer = "https://a:b@as.example.com" }, false},
		"jwks_uri over http":            {func(o *Options) { o.JWKSURI = "http://as.example.com/jwks" }, false},
		"jwks_uri":                      {func(o *Options) { o.Issuer, o.JWKSURI = "x", "https://as.example.com/jwks?a=b" }, true},
		"jwks_uri and keys":             {func(o *Options) { o.JWKSURI, o.KeySet = "https://as.example.com/jwks", jwks(s.public(t)) }, false},
		"no audience":                   {func(o *Options) { o.Audience = nil }, false},
		"an empty audience":             {func(o *Options) { o.Audience = []string{testAudience, ""} }, false},
		"HMAC":                          {func(o *Options) { o.Algorithms = []string{"ES256", "HS256"} }, false},
		"none":                          {func(o *Options) { o.Algorithms = []string{"none"} }, false},
		"an empty algorithm":            {func(o *Options) { o.Algorithms = []string{""} }, false},
		"an algorithm in other letters": {func(o *Options) { o.Algorithms = []string{"es256"} }, false},
		"an empty type":                 {func(o *Options) { o.Types = []string{"application/"} }, false},
		"a skew too long":               {func(o *Options) { o.Skew = MaxSkew + 1 }, false},
		"the longest skew":              {func(o *Options) { o.Skew = MaxSkew }, true},
		"a negative skew":               {func(o *Options) { o.Skew = -1 }, false},
		"a negative timeout":            {func(o *Options) { o.Timeout = -1 }, false},
		"negative bytes":                {func(o *Options) { o.MaxBytes = -1 }, false},
		"negative keys":                 {func(o *Options) { o.MaxKeys = -1 }, false},
		"a negative token":              {func(o *Options) { o.MaxToken = -1 }, false},
		"an interval too long":          {func(o *Options) { o.MinInterval = time.Hour }, false},
		"stale before due":              {func(o *Options) { o.MaxStale = time.Minute }, false},
		"refreshed often":               {func(o *Options) { o.Refresh = time.Second }, true},
		"refreshed seldom":              {func(o *Options) { o.Refresh = 48 * time.Hour }, true},
		"a client and roots":            {func(o *Options) { o.Client, o.Roots = http.DefaultClient, x509.NewCertPool() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(nil)
			c.change(&o)
			i, err := New(o)
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				i.Close()
			}
		})
	}
}

// A client that is given makes the requests, without its cookies and under the
// same bounds.
func TestClientGiven(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	is := newIssuer(t, s.public(t))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	given := *is.Client()
	given.Jar = jar
	given.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
	is.on("/0", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, pathJWKS, http.StatusFound)
	})
	cookies := -1
	body := jwks(s.public(t))
	is.on(pathJWKS, func(w http.ResponseWriter, r *http.Request) {
		cookies = len(r.Cookies())
		is.json(w, body)
	})
	use := func(o *Options) { o.Roots, o.Client, o.JWKSURI = nil, &given, is.URL+"/0" }
	i, _ := is.introspector(t, use)
	want(t, i, is.token(t, s), "active", "with the client")
	if cookies != 0 {
		t.Errorf("%d cookies were sent", cookies)
	}
	is.on(pathJWKS, endless)
	bounded, _ := is.introspector(t, use)
	want(t, bounded, is.token(t, s), "unavailable", "an endless answer")
	if given.Transport != is.Client().Transport {
		t.Error("the client that was given is changed")
	}
}
