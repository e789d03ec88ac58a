package archived_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/internal/archived"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

func sumOf(t *testing.T, rows ...store.Row) archived.Sum {
	t.Helper()
	sum := archived.Sum{}
	for _, row := range rows {
		if err := sum.Add(row); err != nil {
			t.Fatal(err)
		}
	}
	return sum
}

// Sums are the same for the same rows in whatever order, and for no others: what
// two members have is not taken for what one has.
func TestSum(t *testing.T) {
	rows := append(storetest.EveryRow(7), storetest.EveryRow(8)...)
	want := sumOf(t, rows...)
	slices.Reverse(rows)
	if !maps.Equal(want, sumOf(t, rows...)) {
		t.Error("the sum depends on the order")
	}
	for i := range rows {
		if maps.Equal(want, sumOf(t, slices.Delete(slices.Clone(rows), i, i+1)...)) {
			t.Errorf("%T is not in the sum", rows[i])
		}
	}
	account := func(name, key string) store.Row {
		return store.AccountRow{Account: model.Account{Service: 1, ID: 2, Name: name, Key: key}}
	}
	token := func(scopes []string) store.Row {
		return store.AccessTokenRow{Token: model.AccessToken{Service: 1, ID: 2, Grant: 3, JWT: true, Scopes: scopes}}
	}
	a, b := account("a", "b"), account("b", "a")
	for name, pair := range map[string][2][]store.Row{
		"values that pass from one to another": {{account("ab", "")}, {account("a", "b")}},
		"a text in quotes":                     {{account(`a", "b`, "c")}, {account("a", `b", "c`)}},
		"the same row twice":                   {{a, a}, {b, b}},
		"nothing and an empty list":            {{token(nil)}, {token([]string{})}},
	} {
		if maps.Equal(sumOf(t, pair[0]...), sumOf(t, pair[1]...)) {
			t.Errorf("%s: the sums are the same", name)
		}
	}
	if err := want.Add(nil); err == nil {
		t.Error("a row that is none has a sum")
	}
}
