package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

func (e *env) secretIs(t testing.TB, service model.ID, name, want string) {
	t.Helper()
	got, err := e.Secret(context.Background(), service, name)
	equal(t, "secret "+name, want, string(got), err)
}

func testSecrets(t *testing.T, e *env) {
	root := store.InsertSecret{Name: "root", Sealed: []byte("sealed\x00root")}
	own := store.InsertSecret{Service: e.service, Name: "root", Sealed: []byte("own")}
	t.Run("a secret is read as it was written, and has its name alone", func(t *testing.T) {
		_, err := e.Secret(context.Background(), 0, "root")
		fails(t, "a secret that is not there", store.ErrNotFound, err)
		e.write(t, root)
		e.secretIs(t, 0, "root", "sealed\x00root")
		again := root
		again.Sealed = []byte("another")
		e.refused(t, store.ErrConflict, again)
		e.secretIs(t, 0, "root", "sealed\x00root")
	})
	t.Run("threat 31: a service has secrets of its own", func(t *testing.T) {
		_, err := e.Secret(context.Background(), e.service, "root")
		fails(t, "another's secret", store.ErrNotFound, err)
		e.write(t, own)
		e.secretIs(t, e.service, "root", "own")
		e.secretIs(t, 0, "root", "sealed\x00root")
	})
	t.Run("a secret is sealed anew only as it was read", func(t *testing.T) { testResealSecret(t, e) })
	t.Run("a key is sealed anew only as it was read", func(t *testing.T) { testResealKey(t, e) })
	t.Run("one of many first secrets is kept", func(t *testing.T) { raceSecrets(t, e) })
	t.Run("they outlive the process", func(t *testing.T) {
		e.reopen(t)
		e.secretIs(t, 0, "root", "root anew")
		e.secretIs(t, e.service, "root", "own")
	})
}

func testResealSecret(t *testing.T, e *env) {
	l := listen(e)
	defer l.cancel()
	reseal := store.ResealSecret{Name: "root", Was: []byte("sealed\x00root"), Sealed: []byte("root anew")}
	e.write(t, reseal)
	e.secretIs(t, 0, "root", "root anew")
	equal(t, "changes", []model.Change{{Kind: model.ChangeKeys}}, l.take(), nil)

	e.refused(t, store.ErrConflict, reseal)
	missing := reseal
	missing.Name = "none"
	e.refused(t, store.ErrConflict, missing)
	elsewhere := reseal
	elsewhere.Service, elsewhere.Was = e.service, []byte("root anew")
	e.refused(t, store.ErrConflict, elsewhere)
	e.secretIs(t, 0, "root", "root anew")
	e.secretIs(t, e.service, "root", "own")
	equal(t, "changes of what was refused", 0, len(l.take()), nil)
}

func testResealKey(t *testing.T, e *env) {
	s := *e
	s.service = e.newService(t)
	key := s.key("k")
	key.Sealed = []byte("before")
	s.write(t, store.InsertKey{Key: key})
	l := listen(s)
	defer l.cancel()
	reseal := store.ResealKey{Service: s.service, KID: "k", Was: key.Sealed, Sealed: []byte("after")}
	s.write(t, reseal)
	key.Sealed = reseal.Sealed
	got, err := s.Keys(context.Background(), s.service)
	equal(t, "keys", []model.Key{key}, got, err)
	equal(t, "changes", []model.Change{{Service: s.service, Kind: model.ChangeKeys}}, l.take(), nil)

	s.refused(t, store.ErrConflict, reseal)
	elsewhere := reseal
	elsewhere.Service, elsewhere.Was = e.service, reseal.Sealed
	s.refused(t, store.ErrConflict, elsewhere)
	equal(t, "changes of what was refused", 0, len(l.take()), nil)
}

func raceSecrets(t *testing.T, e *env) {
	second := e.open(t)
	for round := range 5 {
		name := fmt.Sprint("root of race ", round)
		won := winner(t, race(16, []store.Store{e.Store, second}, func(s store.Store, i int) error {
			return s.Write(context.Background(), store.InsertSecret{Name: name, Sealed: []byte{byte(i)}})
		}), store.ErrConflict)
		e.secretIs(t, 0, name, string([]byte{byte(won)}))
	}
}
