package engine_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-auth/gatehouse/"

// rules say what the packages of a folder may import of this module. The first
// folder that matches counts.
var rules = []struct {
	folder string
	may    []string
}{
	{"engine/model", nil},
	{"engine/handle", []string{"engine/model"}},
	{"engine/fetch", nil},
	{"engine/dpop", nil},
	{"engine/store/", []string{"engine/model", "engine/store", "engine/handle"}}, // the stores and their suite
	{"engine/store", []string{"engine/model"}},
	{"engine/internal", []string{"engine/model", "engine/store", "engine/handle", "engine/fetch", "engine/dpop", "engine/internal"}},
	{"engine", []string{"engine/model", "engine/store", "engine/handle", "engine/fetch", "engine/internal"}},
	{"introspect", []string{"engine", "introspect"}},
	{"caddymodule", []string{"engine", "introspect", "caddymodule"}},
	{"examples", []string{"engine", "introspect", "caddymodule"}},
}

// The design's rule on imports: who may import whom; nothing outside
// caddymodule imports Caddy; nothing in engine but webapi serves HTTP, and nothing
// but remote and fetch asks for something over it.
func TestImportRule(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, folder, filepath.Base(path), imported)
		}
		return nil
	})
	if err != nil || files < 30 {
		t.Fatalf("%d files, %v", files, err)
	}
}

func checkImport(t *testing.T, folder, file, imported string) {
	inCaddy := folder == "caddymodule" || strings.HasPrefix(folder, "caddymodule/") || strings.HasPrefix(folder, "examples/")
	if strings.HasPrefix(imported, "github.com/caddyserver/") && !inCaddy {
		t.Errorf("%s/%s imports Caddy", folder, file)
	}
	if imported == "net/http" && strings.HasPrefix(folder, "engine") && folder != "engine/webapi" && folder != "engine/remote" && folder != "engine/fetch" {
		t.Errorf("%s/%s does HTTP", folder, file)
	}
	own, ok := strings.CutPrefix(imported, module)
	if !ok {
		return
	}
	for _, rule := range rules {
		if folder != rule.folder && !strings.HasPrefix(folder+"/", strings.TrimSuffix(rule.folder, "/")+"/") || folder == strings.TrimSuffix(rule.folder, "/") && strings.HasSuffix(rule.folder, "/") {
			continue
		}
		for _, may := range rule.may {
			if own == may || strings.HasPrefix(own, may+"/") {
				return
			}
		}
		t.Errorf("%s/%s imports %s", folder, file, own)
		return
	}
	t.Errorf("no rule covers %s", folder)
}

// engine/internal's packages import each other only downwards: Go refuses
// cycles, and this order says which way is down.
func TestInternalImportsPointDown(t *testing.T) {
	order := []string{"oautherr", "params", "keys", "jose", "realm", "binding", "clientauth", "mint", "authorize", "logout", "token", "introspection", "revocation", "revocationstream", "userinfo", "metadata", "registration"}
	rank := map[string]int{}
	for i, name := range order {
		rank[name] = i + 1
	}
	folders, err := filepath.Glob("internal/*")
	if err != nil || len(folders) != len(order) {
		t.Fatalf("the folders are %v: the order above names %d", folders, len(order))
	}
	for _, folder := range folders {
		files, _ := filepath.Glob(folder + "/*.go")
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				name, ok := strings.CutPrefix(imported, module+"engine/internal/")
				if ok && rank[name] >= rank[filepath.Base(folder)] {
					t.Errorf("%s imports %s, which is not below it", path, name)
				}
			}
		}
	}
}
