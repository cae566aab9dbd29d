package pgtest

import (
	"os"
	"os/exec"
	"testing"
)

// InstallDebian installs a package, or skips the test and says why it can't.
func InstallDebian(t testing.TB, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("%s is not there, and only root can install Debian's package", name)
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", name}} {
		cmd := exec.Command("apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%s can't be installed: apt-get %v: %v\n%s", name, args, err, out)
		}
	}
}
