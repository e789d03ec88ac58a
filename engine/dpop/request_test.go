package dpop

import (
	"io"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/engine/dpop/dpoptest"
)

// RFC 9449 §4.3, 8: methods are compared to the letter (RFC 9110 §9.1).
func TestCheck08Method(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for htm, good := range map[string]bool{"GET": true, "get": false, "POST": false, "GET ": false} {
		wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, members{"htm": htm})), good)
	}
}

// RFC 9449 §4.3, 9; the forms of a URL are TestNormalize's.
func TestCheck09URL(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for htu, good := range map[string]bool{
		sampleURL:                                true,
		"HTTPS://API.example.com:443/%6frders":   true,
		sampleURL + "?page=2#top":                true,
		"http://api.example.com/orders":          false,
		"https://api.example.com:8443/orders":    false,
		"https://other.example.com/orders":       false,
		"https://api.example.com/orders/":        false,
		"https://api.example.com/Orders":         false,
		"https://api.example.com@evil.example/":  false,
		"https://alice@api.example.com/orders":   false,
		"https://api.example.com.evil/orders":    false,
		"//api.example.com/orders":               false,
		"/orders":                                false,
		"api.example.com/orders":                 false,
		"https:api.example.com/orders":           false,
		"https://api.example.com/%zz":            false,
		"https://api.example.com\x00/orders":     false,
		"https://api.example.com/orders\\..\\..": false,
	} {
		wantGood(t, check(t, v, prove(t, s, clock.unix(), nil, members{"htu": htu})), good)
	}
}

// RFC 9449 §4.3, 10: a nonce counts when it is demanded, and one that is missing,
// made up or too old does not.
func TestCheck10Nonce(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{RequireNonce: true}), dpoptest.NewKey(t, "ES256")
	nonce := v.NewNonce()
	for _, bad := range []any{nil, "", "guess", nonce + "A", 7} {
		wantCode(t, check(t, v, prove(t, s, clock.unix(), nil, members{"nonce": bad})), CodeUseNonce)
	}
	proof, err := v.Check([]string{prove(t, s, clock.unix(), nil, members{"nonce": nonce})}, sampleRequest(t))
	if err != nil || proof.Nonce != nonce {
		t.Errorf("%+v %v", proof, err)
	}
	clock.pass(time.Hour)
	wantCode(t, check(t, v, prove(t, s, clock.unix(), nil, members{"nonce": nonce})), CodeUseNonce)
	wantCode(t, check(t, v, prove(t, s, clock.unix(), nil, members{"nonce": v.NewNonce()})), "")
	// Where none is demanded, one from elsewhere does no harm.
	wantCode(t, check(t, newChecker(t, clock, Options{}), prove(t, s, clock.unix(), nil, members{"nonce": "x"})), "")
}

// RFC 9449 §4.3, 11; threats.md 12.
func TestCheck11Time(t *testing.T) {
	clock := newClock()
	usual, patient := newChecker(t, clock, Options{Skew: 5 * time.Second}), newChecker(t, clock, Options{MaxAge: 5 * time.Minute, Skew: time.Minute})
	strict := newChecker(t, clock, Options{})
	s := dpoptest.NewKey(t, "ES256")
	for _, test := range []struct {
		age           int64
		usual, longer bool
	}{
		{0, true, true},
		{60, true, true}, {61, false, true}, {300, false, true}, {301, false, false},
		{-5, true, true}, {-6, false, true}, {-60, false, true}, {-61, false, false},
		{3600, false, false}, {-3600, false, false},
	} {
		wantGood(t, check(t, usual, prove(t, s, clock.unix()-test.age, nil, nil)), test.usual)
		wantGood(t, check(t, patient, prove(t, s, clock.unix()-test.age, nil, nil)), test.longer)
	}
	wantGood(t, check(t, strict, prove(t, s, clock.unix(), nil, nil)), true)
	wantGood(t, check(t, strict, prove(t, s, clock.unix()+1, nil, nil)), false)
	if usual.Window() != 66*time.Second { // from iat 5 seconds ahead to 60 behind, whole
		t.Errorf("the window is %v", usual.Window())
	}
	for _, iat := range []int64{0, -1, 1 << 32} {
		wantGood(t, check(t, usual, prove(t, s, iat, nil, nil)), false)
	}
}

// RFC 9449 §4.3, 12: ath is this token's hash, and the key the one that the
// token is bound to (§7.1's example answers the latter with invalid_token).
func TestCheck12TokenAndKey(t *testing.T) {
	clock := newClock()
	v, s := newChecker(t, clock, Options{}), dpoptest.NewKey(t, "ES256")
	for _, test := range []struct {
		name       string
		ath        any
		token, jkt string
		code       string
	}{
		{"the token's", hash(sampleToken), sampleToken, s.Thumbprint(t), ""},
		{"another token's", hash("at_other"), sampleToken, "", CodeInvalidProof},
		{"none", nil, sampleToken, "", CodeInvalidProof},
		{"empty", "", sampleToken, "", CodeInvalidProof},
		{"padded", hash(sampleToken) + "=", sampleToken, "", CodeInvalidProof},
		{"none without a token", nil, "", "", ""},
		{"any without a token", hash("at_other"), "", "", ""},
		{"another key's token", hash(sampleToken), sampleToken, dpoptest.NewKey(t, "ES256").Thumbprint(t), CodeInvalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := sampleRequest(t)
			request.AccessToken, request.JKT = test.token, test.jkt
			_, err := v.Check([]string{prove(t, s, clock.unix(), nil, members{"ath": test.ath})}, request)
			wantCode(t, err, test.code)
		})
	}
}

// The examples of RFC 9449 §5 (a token request) and §7.1 (a protected
// resource), and §6.1's thumbprint of their key.
const (
	rfcHeader        = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcTokenProof    = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcResourceProof = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcToken         = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcJKT           = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	rfcTime          = 1562262620 // two seconds after the later one
)

func TestExamplesOfTheRFC(t *testing.T) {
	v := newChecker(t, clockAt(rfcTime), Options{})
	for _, test := range []struct {
		name, proof string
		request     Request
		want        Proof
	}{
		{
			"token request", rfcTokenProof,
			Request{Method: "POST", Target: mustURL(t, "https://server.example.com/token")},
			Proof{JKT: rfcJKT, JTI: "-BwC3ESc6acc2lTc", IssuedAt: 1562262616},
		},
		{
			"protected resource", rfcResourceProof,
			Request{Method: "GET", Target: mustURL(t, "https://resource.example.org/protectedresource"), AccessToken: rfcToken, JKT: rfcJKT},
			Proof{JKT: rfcJKT, JTI: "e1j3V_bKic8-LAEB", IssuedAt: 1562262618},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			proof, err := v.Check([]string{test.proof}, test.request)
			if err != nil || *proof != test.want {
				t.Fatalf("%+v %v", proof, err)
			}
		})
	}
}

// What is out of bounds stops the start (threats.md 25, 35).
func TestNewRefusesOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"age below a second": {MaxAge: time.Millisecond},
		"negative age":       {MaxAge: -time.Minute},
		"negative skew":      {Skew: -time.Second},
		"an hour and more":   {MaxAge: time.Hour, Skew: time.Second},
		"endless":            {MaxAge: 1<<63 - 1},
		"short key":          {NonceKey: []byte("short")},
		"no random bytes":    {Random: noRandom{}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
