package engine_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
)

// Two stores have the same secret when it opens to the same, under whichever
// master key either sealed it; what does not open is not said to differ.
func TestSameSecret(t *testing.T) {
	now, before, other := engine.MasterKey{1}, engine.MasterKey{2}, engine.MasterKey{3}
	sealed := func(key engine.MasterKey, name, plain string) []byte {
		t.Helper()
		value, err := keys.Single(key).Seal(0, name, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	one := sealed(now, "root", "a")
	for name, test := range map[string]struct {
		a, b []byte
		same bool
		err  error
	}{
		"one value":            {one, one, true, nil},
		"sealed anew":          {one, sealed(before, "root", "a"), true, nil},
		"another value":        {one, sealed(now, "root", "b"), false, nil},
		"another name":         {one, sealed(now, "branch", "a"), false, engine.ErrWrongMasterKey},
		"another key":          {one, sealed(other, "root", "a"), false, engine.ErrWrongMasterKey},
		"another key, in turn": {sealed(other, "root", "a"), one, false, engine.ErrWrongMasterKey},
	} {
		t.Run(name, func(t *testing.T) {
			read := func() ([]engine.MasterKey, error) { return []engine.MasterKey{now, before}, nil }
			same, err := engine.SameSecret(read, "root", test.a, test.b)
			if same != test.same || !errors.Is(err, test.err) {
				t.Errorf("SameSecret = %v, %v, want %v, %v", same, err, test.same, test.err)
			}
		})
	}
}
