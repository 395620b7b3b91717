//go:build packages

package deploy

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

const packageConfig = "/etc/gatehouse/gatehouse.yaml"

// TestPackageUnit: what the unit leaves open is little, by systemd's own measure.
func TestPackageUnit(t *testing.T) {
	authntest.Need(t, "systemd-analyze")
	out, err := authntest.Run(exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "gatehouse.service"))
	if err != nil {
		t.Fatal(err)
	}
	level := regexp.MustCompile(`Overall exposure level for gatehouse.service: ([0-9.]+)`).FindStringSubmatch(out)
	if level == nil {
		t.Fatalf("no level in:\n%s", out)
	}
	if exposure, err := strconv.ParseFloat(level[1], 64); err != nil || exposure >= 2.0 {
		t.Errorf("exposure %s, want below 2.0\n%s", level[1], out)
	}
}

// makePackages runs `make deb` and returns what it made, by architecture.
func makePackages(t *testing.T) map[string][]byte {
	t.Helper()
	if _, err := authntest.Run(exec.Command("make", "-C", "..", "deb", "VERSION=v9.8.7-rc1")); err != nil {
		t.Fatal(err)
	}
	packages := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		file := filepath.Join("..", "bin", "gatehouse_9.8.7~rc1_"+arch+".deb")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		packages[arch] = content
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	return packages
}

// TestPackage: both architectures, the same bytes each time, and the life of one on a
// copy of this machine.
func TestPackage(t *testing.T) {
	authntest.Need(t, "dpkg-deb", "unshare", "systemd-sysusers")
	packages := makePackages(t)
	for arch, again := range makePackages(t) {
		if !bytes.Equal(packages[arch], again) {
			t.Errorf("%s: two builds differ", arch)
		}
		checkPackage(t, arch, packages[arch])
	}
	m := copyMachine(t)
	m.write("/tmp/gatehouse.deb", string(packages[runtime.GOARCH]), 0o644)
	t.Run("install", m.install)
	t.Run("run", m.serve)
	t.Run("upgrade", m.upgrade)
	t.Run("remove and purge", m.remove)
}

// checkPackage sees what dpkg says of a package.
func checkPackage(t *testing.T, arch string, content []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gatehouse.deb")
	write(t, file, content)
	for _, c := range []struct{ option, want string }{
		{"--field", "Version: 9.8.7~rc1\n"},
		{"--field", "Architecture: " + arch + "\n"},
		{"--contents", " ./usr/bin/gatehouse\n"},
		{"--contents", " ./lib/systemd/system/gatehouse.service\n"},
		{"--contents", " ./usr/lib/sysusers.d/gatehouse.conf\n"},
		{"--contents", " ./usr/share/man/man1/gatehouse-serve.1.gz\n"},
		{"--contents", " ./usr/share/man/man5/gatehouse.yaml.5.gz\n"},
		{"--contents", " ./usr/share/bash-completion/completions/gatehouse\n"},
		{"--contents", " ./usr/share/zsh/vendor-completions/_gatehouse\n"},
		{"--contents", " ./usr/share/fish/vendor_completions.d/gatehouse.fish\n"},
	} {
		if out, err := authntest.Run(exec.Command("dpkg-deb", c.option, file)); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: dpkg-deb %s lacks %q (%v)\n%s", arch, c.option, c.want, err, out)
		}
	}
}

// machine is a copy of this machine that the test may change: an overlay over the root
// in a mount name space of its own, gone with the process that holds it.
type machine struct {
	t    *testing.T
	root string // as this test sees it, through the holder
	in   []string
}

func copyMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	holder := exec.Command("unshare", "--mount", "sh", "-ec", `mount -t tmpfs none "$1"; cd "$1"; mkdir upper work root
mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root; mount -t proc none root/proc
mount -t devtmpfs none root/dev 2>/dev/null || mount --rbind /dev root/dev
mkdir -p root/run/systemd/system; echo ready; exec sleep infinity`, "sh", dir)
	var said bytes.Buffer
	holder.Stderr = &said
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		holder.Process.Kill()
		holder.Wait()
	})
	if n, err := out.Read(make([]byte, 8)); n == 0 || err != nil {
		t.Fatalf("no copy of the machine: %v\n%s", err, said.String())
	}
	pid := strconv.Itoa(holder.Process.Pid)
	m := &machine{t, "/proc/" + pid + "/root" + filepath.Join(dir, "root"), []string{"-t", pid, "-m", "chroot", filepath.Join(dir, "root")}}
	m.systemctl("exit 1")
	return m
}

// command is a command in the copy.
func (m *machine) command(script string) *exec.Cmd {
	return exec.Command("nsenter", append(m.in, "sh", "-ec", script)...)
}

// run is a script that has to succeed in the copy; all that it says is returned.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.command(script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func (m *machine) write(file, content string, mode os.FileMode) {
	m.t.Helper()
	if err := os.WriteFile(m.root+file, []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Chmod(m.root+file, mode); err != nil {
		m.t.Fatal(err)
	}
}

// systemctl puts a stand-in for systemd into the copy: it notes what is asked of it, and
// what it says to is-active and is-enabled is active.
func (m *machine) systemctl(active string) {
	m.t.Helper()
	m.write("/usr/local/sbin/systemctl", "#!/bin/sh\necho \"$@\" >>/tmp/asked\ncase \"$1\" in is-*) "+active+" ;; esac\n", 0o755)
	m.write("/usr/local/sbin/deb-systemd-invoke", "#!/bin/sh\necho \"$@\" >>/tmp/asked\n", 0o755)
	m.write("/tmp/asked", "", 0o644)
}

// asked is what was asked of systemd since systemctl was put there.
func (m *machine) asked(t *testing.T) string {
	t.Helper()
	out, err := os.ReadFile(m.root + "/tmp/asked")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// install: the config that comes along does not pass, and nothing starts.
func (m *machine) install(t *testing.T) {
	if out := m.run(t, "dpkg -i /tmp/gatehouse.deb"); !strings.Contains(out, "systemctl enable --now gatehouse") {
		t.Errorf("it does not say how to go on:\n%s", out)
	}
	if asked := m.asked(t); strings.Contains(asked, "start") {
		t.Errorf("something was started:\n%s", asked)
	}
	if out := m.run(t, "stat -c '%a %U:%G' /etc/gatehouse "+packageConfig); out != "750 root:gatehouse\n640 root:gatehouse\n" {
		t.Errorf("the config is %q", out)
	}
	if out := m.run(t, "gatehouse version; dpkg -V gatehouse"); !strings.Contains(out, "9.8.7-rc1") {
		t.Errorf("version says %q", out)
	}
	out, err := m.command(m.unit(t, "ExecStartPre")).CombinedOutput()
	if exitCode(err) != 1 || !strings.Contains(string(out), "upstream.url") {
		t.Errorf("check of the config as it comes: %v\n%s", err, out)
	}
}

// unit is a command of the installed unit, as the unit runs it.
func (m *machine) unit(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile(m.root + "/lib/systemd/system/gatehouse.service")
	if err != nil {
		t.Fatal(err)
	}
	value := func(key string) string {
		found := regexp.MustCompile(`(?m)^` + key + `=(.+)$`).FindSubmatch(text)
		if found == nil {
			t.Fatalf("the unit has no %s:\n%s", key, text)
		}
		return string(found[1])
	}
	return "exec setpriv --reuid " + value("User") + " --regid " + value("Group") +
		" --clear-groups --no-new-privs env " + value("Environment") + " " + value(key)
}

// serve runs the unit's commands with a good config until the gateway is ready, and ends it.
func (m *machine) serve(t *testing.T) {
	m.write(packageConfig, goodConfig(t), 0o640)
	m.run(t, m.unit(t, "ExecStartPre"))
	gateway := m.command(m.unit(t, "ExecStart"))
	var log bytes.Buffer
	gateway.Stdout, gateway.Stderr = &log, &log
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	defer gateway.Process.Kill()
	asked := m.command("until GATEHOUSE_CONFIG=" + packageConfig + " gatehouse healthcheck; do sleep 0.2; done")
	stop := time.AfterFunc(30*time.Second, func() { asked.Process.Kill() })
	defer stop.Stop()
	if out, err := asked.CombinedOutput(); err != nil {
		t.Errorf("never ready: %v\n%s", err, out)
	}
	gateway.Process.Signal(os.Interrupt)
	if err := gateway.Wait(); err != nil {
		t.Errorf("the end: %v\n%s", err, log.String())
	}
}

// goodConfig is a config of two free ports and a registry that answers.
func goodConfig(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`listen: {address: "%s"}
admin: {address: "%s"}
upstream: {url: %q}
directories:
  - name: local
    static:
      - {username: admin, password_hash: "$2a$11$rD4.nFNvrZ9w5GiJF2CBnOmA3bJq210FMsbFvKYn1XrR2Gqr7iI9G"}
policy:
  - {allow: [pull], repositories: ["**"], to: [authenticated]}
`, authntest.FreeAddress(t), authntest.FreeAddress(t), emptyRegistry(t))
}

// upgrade: a gateway that runs is restarted with a good config, and left alone with a bad
// one; a package whose config changed puts it beside the owner's.
func (m *machine) upgrade(t *testing.T) {
	m.systemctl("exit 0")
	m.run(t, "dpkg -i --force-confold /tmp/gatehouse.deb")
	if asked := m.asked(t); !strings.Contains(asked, "\nrestart gatehouse.service\n") || strings.Contains(asked, "stop") || strings.Contains(asked, "--now") {
		t.Errorf("a good config: systemd was asked\n%s", asked)
	}
	good, err := os.ReadFile(m.root + packageConfig)
	if err != nil {
		t.Fatal(err)
	}
	m.run(t, "cd /tmp; dpkg-deb -R gatehouse.deb next; echo '# of the next version' >>next/etc/gatehouse/gatehouse.yaml; "+
		"sed -i 's/^Version: .*/Version: 9.8.8/' next/DEBIAN/control; dpkg-deb -b next next.deb; dpkg -i --no-triggers --force-confold next.deb")
	if kept, err := os.ReadFile(m.root + packageConfig); err != nil || !bytes.Equal(kept, good) {
		t.Errorf("an upgrade changed the config (%v):\n%s", err, kept)
	}
	m.run(t, "grep -q 'of the next version' "+packageConfig+".dpkg-dist; test \"$(dpkg-query -W -f '${Version}' gatehouse)\" = 9.8.8; dpkg -i --no-triggers --force-downgrade --force-confold /tmp/gatehouse.deb")
	m.write(packageConfig, string(good)+"bogus: 1\n", 0o640)
	m.systemctl("exit 0")
	if out := m.run(t, "dpkg -i --force-confold /tmp/gatehouse.deb"); !strings.Contains(out, "bogus") || !strings.Contains(out, "left alone") {
		t.Errorf("it does not say what is wrong:\n%s", out)
	}
	if asked := m.asked(t); strings.Contains(asked, "start") || strings.Contains(asked, "stop") {
		t.Errorf("a bad config: systemd was asked\n%s", asked)
	}
}

// remove keeps the config and the state, a purge takes both and the cache, and nothing else.
func (m *machine) remove(t *testing.T) {
	m.run(t, "mkdir -p /var/lib/gatehouse/acme /var/cache/gatehouse/blobs /var/log/gatehouse; echo secret >/etc/gatehouse/secret.txt")
	m.systemctl("exit 0")
	m.run(t, "dpkg --remove gatehouse")
	if asked := m.asked(t); !strings.Contains(asked, "disable --now gatehouse.service") {
		t.Errorf("it was not stopped:\n%s", asked)
	}
	m.run(t, "test ! -e /usr/bin/gatehouse; grep -q bogus "+packageConfig+"; test -d /var/lib/gatehouse/acme; test -f /etc/gatehouse/secret.txt")
	m.run(t, "dpkg --purge gatehouse")
	m.run(t, "test ! -e /etc/gatehouse; test ! -e /var/lib/gatehouse; test ! -e /var/cache/gatehouse; test -d /var/log/gatehouse; ! dpkg -s gatehouse 2>/dev/null")
}

// emptyRegistry is as much of a registry as readiness asks for.
func emptyRegistry(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	return server.URL
}
