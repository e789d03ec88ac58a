package engine

import (
	"bytes"

	"github.com/gatehouse-auth/gatehouse/engine/internal/keys"
)

// SameSecret reports whether two sealed values that whole stores have under a
// name are the same, by the master keys that read returns. ErrWrongMasterKey: one
// does not open.
func SameSecret(read func() ([]MasterKey, error), name string, a, b []byte) (bool, error) {
	master, err := keys.NewMaster(read)
	if err != nil {
		return false, err
	}
	one, err := master.Open(0, name, a)
	if err != nil {
		return false, err
	}
	other, err := master.Open(0, name, b)
	return err == nil && bytes.Equal(one, other), err
}
