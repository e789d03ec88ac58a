package archive_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
	"github.com/gatehouse-auth/gatehouse/engine/store/archive"
	"github.com/gatehouse-auth/gatehouse/engine/store/storetest"
)

// sameBytes stands for opening both.
func sameBytes(_ string, a, b []byte) (bool, error) { return bytes.Equal(a, b), nil }

// loads imports a file into a store.
func loads(to store.Store, file string) (int64, error) {
	plan, err := archive.Verify(strings.NewReader(file))
	if err != nil {
		return 0, err
	}
	return plan.Import(context.Background(), to, strings.NewReader(file), sameBytes)
}

func export(t *testing.T, from store.Archive, issuer string, tokens bool, now time.Time) string {
	t.Helper()
	var file bytes.Buffer
	if _, err := archive.Export(context.Background(), from, issuer, tokens, now, &file); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

func same(t *testing.T, what string, want, got []store.Row) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var root = store.SecretRow{Name: "root", Sealed: []byte{1}}

// two is the rows of two services and the secret of their store, in the order
// in which a store gives them, and those of the first service alone.
func two() (all, first []store.Row) {
	a, b := storetest.EveryRow(1001), storetest.EveryRow(1002)
	all = []store.Row{a[0], b[0], a[1], b[1], root}
	for i := 2; i < len(a); i++ {
		all = append(all, a[i], b[i])
	}
	return all, append([]store.Row{a[0], a[1], root}, a[2:]...)
}

// Everything, or one service, is in another store as it was in the first.
func TestExportImport(t *testing.T) {
	all, first := two()
	from := emptyStore(t)
	put(t, from, all...)
	issuer := all[0].(store.ServiceRow).Issuer
	for name, test := range map[string]struct {
		file string
		want []store.Row
	}{
		"everything":             {export(t, from, "", true, before), rowsOf(t, from)},
		"a service":              {export(t, from, issuer, true, before), first},
		"a service, no tokens":   {export(t, from, issuer, false, before), first[:8]},
		"all of it expired":      {export(t, from, issuer, true, time.Unix(4e9, 0)), append(append([]store.Row(nil), first[:8]...), first[9])},
		"a store without a word": {export(t, emptyStore(t), "", true, before), nil},
	} {
		t.Run(name, func(t *testing.T) {
			to := emptyStore(t)
			rows, err := loads(to, test.file)
			if err != nil || rows != int64(len(test.want)) {
				t.Errorf("%d rows, %v; want %d", rows, err, len(test.want))
			}
			same(t, "the rows", test.want, rowsOf(t, to))
		})
	}
	if _, err := archive.Export(context.Background(), from, "https://none.example", true, before, new(bytes.Buffer)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a service that is not there: %v", err)
	}
}

// A service joins others when nothing of it is theirs. Else it is refused, with
// what is in the way, and nothing is written.
func TestImportBesideOthers(t *testing.T) {
	mine := storetest.EveryRow(7)
	client := mine[1].(store.ClientRow).ID
	file := written(t, append([]store.Row{mine[0], mine[1], root}, mine[2:]...)...)
	for name, test := range map[string]struct {
		there []store.Row
		want  string // of the refusal
	}{
		"others":       {[]store.Row{store.ServiceRow{ID: 8, Issuer: "https://b.example"}, store.ClientRow{Service: 8, ID: 9, Alias: "app"}, root}, ""},
		"the issuer":   {[]store.Row{store.ServiceRow{ID: 8, Issuer: mine[0].(store.ServiceRow).Issuer}, root}, "it has the service https://archive7.example"},
		"the service":  {[]store.Row{mine[0], root}, "it has the service https://archive7.example"},
		"the id":       {[]store.Row{store.ServiceRow{ID: 7, Issuer: "https://b.example"}, root}, "is that of its service https://b.example"},
		"a client":     {[]store.Row{store.ServiceRow{ID: 8, Issuer: "https://b.example"}, store.ClientRow{Service: 8, ID: client, Alias: "other"}, root}, `is that of "other" at https://b.example`},
		"other secret": {[]store.Row{store.ServiceRow{ID: 8, Issuer: "https://b.example"}, store.SecretRow{Name: "root", Sealed: []byte{2}}}, `its secret "root"`},
		"no secret":    {[]store.Row{store.ServiceRow{ID: 8, Issuer: "https://b.example"}}, "other secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			to := emptyStore(t)
			put(t, to, test.there...)
			there := rowsOf(t, to)
			_, err := loads(to, file)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := len(rowsOf(t, to)); got != len(there)+len(mine) {
					t.Errorf("there are %d rows, want %d", got, len(there)+len(mine))
				}
				return
			}
			if !errors.Is(err, archive.ErrTaken) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			same(t, "the rows after that", there, rowsOf(t, to))
		})
	}
}

// breaking is a store that fails from a call on.
type breaking struct {
	store.Store
	left int
}

var errBroken = errors.New("broken")

func (b *breaking) PutRows(ctx context.Context, rows []store.Row) error {
	if b.left--; b.left < 0 {
		return errBroken
	}
	return b.Store.PutRows(ctx, rows)
}

// exportsNoHalf compares that an export leaves out the two services that are not
// loaded to their end, and that neither can be asked for.
func exportsNoHalf(t *testing.T, from store.Archive) {
	t.Helper()
	var file bytes.Buffer
	done, err := archive.Export(context.Background(), from, "", true, before, &file)
	if want := []string{"https://archive1001.example", "https://archive1002.example"}; err != nil || !slices.Equal(done.LeftOut, want) {
		t.Errorf("an export of all left out %v, %v", done.LeftOut, err)
	}
	if plan, err := archive.Verify(&file); err != nil || len(plan.Services) > 0 || plan.Rows != done.Rows || plan.Rows > 1 { // the secret of the store
		t.Errorf("an export of all has %+v, %v", plan, err)
	}
	_, err = archive.Export(context.Background(), from, "https://archive1001.example", true, before, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "was not loaded to its end") {
		t.Errorf("an export of one: %v", err)
	}
}

// An import that ended early leaves nobody with half a service, and the next one
// ends well, of the same file or of another.
func TestImportInterrupted(t *testing.T) {
	all, _ := two()
	for i := range model.ID(1200) { // some batches
		all = append(all, store.UsedValueRow{Service: 1001, Digest: [32]byte{byte(i), byte(i >> 8)}, ExpiresAt: 3e9})
	}
	file, other := written(t, all...), written(t, storetest.EveryRow(1001)...)
	to := emptyStore(t)
	puts := 0
	for ; ; puts++ {
		_, err := loads(&breaking{to, puts}, file)
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		for _, row := range rowsOf(t, to) {
			if service, ok := row.(store.ServiceRow); ok && !strings.HasPrefix(service.Issuer, "unfinished: ") {
				t.Errorf("after %d writes the service %s can be found", puts, service.Issuer)
			}
		}
		if puts > 0 {
			exportsNoHalf(t, to)
		}
	}
	if puts < 3 {
		t.Errorf("there were %d writes", puts)
	}
	if got := len(rowsOf(t, to)); got != len(all) {
		t.Errorf("there are %d rows, want %d", got, len(all))
	}

	to = emptyStore(t)
	if _, err := loads(&breaking{to, 2}, file); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if _, err := loads(to, other); err != nil {
		t.Fatal(err)
	}
	if got := len(rowsOf(t, to)); got != len(storetest.EveryRow(1001)) {
		t.Errorf("there are %d rows: something is left of the first file", got)
	}
}

// Two imports at a time do not meet, and one that was killed is in nobody's way
// for long.
func TestImportsAtOnce(t *testing.T) {
	ctx := context.Background()
	to := emptyStore(t)
	l, err := archive.Load(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	file := written(t, storetest.EveryRow(7)...)
	if _, err := loads(to, file); !errors.Is(err, archive.ErrLoading) {
		t.Errorf("a second import: %v", err)
	}
	l.Close()
	if _, err := loads(to, file); err != nil {
		t.Errorf("the second import after the first: %v", err)
	}
}

// A server that starts while the import goes on gets no other service of the name
// that is loaded. A name that is taken all the same is not taken away again.
func TestImportNameTaken(t *testing.T) {
	ctx := context.Background()
	to := emptyStore(t)
	rows := storetest.EveryRow(7)
	l, err := archive.Load(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, row := range rows {
		if err := l.Put(ctx, row); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	issuer := rows[0].(store.ServiceRow).Issuer
	if id, err := to.EnsureService(ctx, issuer); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("EnsureService = %d, %v", id, err)
	}
	put(t, to, store.ServiceRow{ID: 8, Issuer: issuer})
	if err := l.Finish(ctx); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Finish = %v", err)
	}
}
