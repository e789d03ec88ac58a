package main

import (
	"context"
	"errors"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// Both sides of a row accept what the authority signs (RFC 9068 §4), and refuse
// what is altered: neither is fast because it does not look.
func TestVerificationAndBareCheckAgree(t *testing.T) {
	for _, alg := range []jwa.SignatureAlgorithm{jwa.ES256, jwa.RS256} {
		t.Run(alg.String(), func(t *testing.T) {
			a, err := newAuthority(alg)
			if err != nil {
				t.Fatal(err)
			}
			introspector, err := a.introspector()
			if err != nil {
				t.Fatal(err)
			}
			defer introspector.Close()
			token, err := a.token(1)
			if err != nil {
				t.Fatal(err)
			}
			at := len(token) - 20
			altered := token[:at] + map[bool]string{true: "B", false: "A"}[token[at] == 'A'] + token[at+1:]
			for text, want := range map[string]bool{token: true, altered: false} {
				check, err := bareCheck(a.public, text)
				if err != nil {
					t.Fatal(err)
				}
				if got := check(); got != want {
					t.Errorf("the bare check says %t, want %t", got, want)
				}
				if err := checking([]func() bool{check})(t.Context()); (err == nil) != want {
					t.Errorf("checking: %v", err)
				}
				if err := introspecting(introspector, []string{text})(t.Context()); (err == nil) != want {
					t.Errorf("introspecting: %v", err)
				}
			}
		})
	}
}

func TestTokensAreDistinctAndOfUsualLength(t *testing.T) {
	a, err := newAuthority(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := a.token(1)
	two, err2 := a.token(2)
	if err := errors.Join(err1, err2); err != nil || one == two {
		t.Errorf("error %v, the same: %t", err, one == two)
	}
	if len(one) < 650 || len(one) > 800 {
		t.Errorf("%d characters", len(one))
	}
}

// A signature of RFC 7518 §3.4 is 64 bytes.
func TestBareCheckRefusesNonsense(t *testing.T) {
	a, err := newAuthority(jwa.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if check, err := bareCheck(a.public, ""); err == nil && check() {
		t.Error("an empty token passes")
	}
	if _, err := bareCheck(nil, "a.b.c"); err == nil {
		t.Error("there is no check without a key, and that was no error")
	}
	if _, err := newAuthority(jwa.HS256); err == nil {
		t.Error("an authority signs with HS256")
	}
}

func TestEveryCoreEndsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	s := everyCore(func(context.Context) error { return broken })
	if _, err := s.measure(t.Context(), warmUp); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
