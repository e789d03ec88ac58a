package login

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

func TestHashPassword(t *testing.T) {
	one, err := HashPassword("pässword")
	if err != nil || !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(one, err)
	}
	if two, _ := HashPassword("pässword"); one == two {
		t.Error("the salt is the same twice")
	}
	h, err := parsePHC(one)
	if err != nil || h.String() != one {
		t.Fatal(h, err)
	}
	for password, want := range map[string]bool{"pässword": true, "pa\u0308ssword": true, "Pässword": false, "password": false} {
		normal, err := normalPassword(password)
		if got := h.matches(argon2.IDKey, normal); got != want || err != nil {
			t.Errorf("%q matches: %v, %v", password, got, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("p", maxPassword+1), "a\x00b", "\xff"} {
		if hash, err := HashPassword(bad); err == nil {
			t.Errorf("HashPassword(%q) = %s", bad, hash)
		}
	}
}

// The example is of the reference implementation: argon2 -id -t 2 -m 16 -p 1.
func TestParsePHC(t *testing.T) {
	salt, key := "c29tZXNhbHQ", "MTIzNDU2Nzg5MDEyMzQ1Ng"
	good := "$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key
	if h, err := parsePHC(good); err != nil || h.memory != 65536 || h.time != 2 || h.threads != 1 || string(h.salt) != "somesalt" {
		t.Fatal(h, err)
	}
	for name, text := range map[string]string{
		"empty": "", "argon2i": strings.Replace(good, "2id", "2i", 1), "no version": strings.Replace(good, "v=19$", "", 1),
		"version": strings.Replace(good, "v=19", "v=16", 1), "order": strings.Replace(good, "m=65536,t=2", "t=2,m=65536", 1),
		"memory": strings.Replace(good, "65536", "262145", 1), "little memory": strings.Replace(good, "65536", "7", 1),
		"time": strings.Replace(good, "t=2", "t=11", 1), "no time": strings.Replace(good, "t=2", "t=0", 1),
		"threads": strings.Replace(good, "p=1", "p=17", 1), "sign": strings.Replace(good, "t=2", "t=+2", 1),
		"zero": strings.Replace(good, "t=2", "t=02", 1), "overflow": strings.Replace(good, "65536", "18446744073709551617", 1),
		"short salt": strings.Replace(good, salt, "c29tZQ", 1), "padding": strings.Replace(good, salt, salt+"=", 1),
		"long salt": strings.Replace(good, salt, strings.Repeat("AAAA", 22), 1), "short key": strings.Replace(good, key, "MTIz", 1),
		"line break": strings.Replace(good, salt, "c29t\nZXNhbHQ", 1), "more": good + "$x", "keyid": strings.Replace(good, "p=1", "p=1,keyid=AA", 1),
		"trailing bits": strings.Replace(good, salt, "c29tZXNhbHR", 1), "space": good + " ", "huge": good + strings.Repeat("A", 600),
	} {
		if h, err := parsePHC(text); err == nil {
			t.Errorf("%s: %q is read as %v", name, text, h)
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error repeats the hash: %v", name, err)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("$2a$10$x")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			return
		}
		if h.String() != text {
			t.Errorf("%q is read as %q", text, h)
		}
		if h.memory > maxArgonMemory || h.time > maxArgonTime || h.threads > maxArgonThreads || h.threads < 1 || h.time < 1 || h.memory < 8*uint32(h.threads) {
			t.Errorf("%q asks for too much or too little", text)
		}
	})
}

func TestThrottleDelays(t *testing.T) {
	tt, now := newThrottle(), time.Unix(1_000_000, 0)
	var delays []time.Duration
	for range 14 {
		_, err := tt.reserve("alice", now)
		for err != nil {
			wait := err.(*ErrThrottled).RetryAfter
			delays = append(delays, wait)
			now = now.Add(wait)
			_, err = tt.reserve("alice", now)
		}
	}
	if len(delays) != 9 || delays[0] != time.Second || delays[1] != 2*time.Second || delays[8] != time.Minute {
		t.Errorf("delays: %v", delays)
	}
	if _, err := tt.reserve("bob", now); err != nil {
		t.Errorf("bob: %v", err)
	}
	now = now.Add(forgetAfter + time.Second)
	for i := range freeFailures {
		if _, err := tt.reserve("alice", now); err != nil {
			t.Errorf("guess %d after an hour: %v", i, err)
		}
	}
}

func TestThrottleSuccessResetsAndReleaseGivesBack(t *testing.T) {
	tt, now := newThrottle(), time.Unix(1_000_000, 0)
	for i := range 3 * freeFailures {
		a, err := tt.reserve("alice", now)
		if err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
		tt.release(a)
	}
	for range freeFailures - 1 {
		if _, err := tt.reserve("alice", now); err != nil {
			t.Fatal(err)
		}
	}
	a, err := tt.reserve("alice", now)
	if err != nil {
		t.Fatal(err)
	}
	tt.succeeded(a)
	if _, err := tt.reserve("alice", now); err != nil {
		t.Errorf("after a success: %v", err)
	}
}

// Many names do not wash out the count of one.
func TestThrottleHoldsUnderManyNames(t *testing.T) {
	tt, now := newThrottle(), time.Unix(1_000_000, 0)
	for range freeFailures + 6 {
		now = now.Add(longestDelay)
		if _, err := tt.reserve("victim", now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 * throttleSets * throttleSlots {
		_, _ = tt.reserve(strings.Repeat("n", i%300)+string(rune('a'+i%26))+time.Duration(i).String(), now)
	}
	if _, err := tt.reserve("victim", now); err == nil {
		t.Error("the victim's count was forgotten")
	}
}
