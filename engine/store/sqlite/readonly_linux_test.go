package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A file that the server may read and not write, such as a backup that root has
// put back, is found out by looking and by starting, not by the first client.
func TestFileOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can work with another's files")
	}
	path := dbPath(t)
	s, _ := openAt(t, path, nil)
	succeed(t, s.Close())
	succeed(t, os.Remove(path+"-lock"))
	chmod(t, path, 0o644)
	succeed(t, os.Chown(filepath.Dir(path), nobody, nobody))
	for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		chmod(t, dir, 0o755)
	}
	cmd := exec.Command("/proc/self/exe") // its folder may be root's alone
	cmd.Env = append(os.Environ(), lookChild+"="+path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
