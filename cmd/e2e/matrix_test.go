//go:build clients

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"gatehouse/authn/authntest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// session is a program with a home of its own: its credentials, its storage and
// what it pulled.
type session struct {
	program
	vars map[string]string
}

// goods is what a session pushes: an image, and what the others take instead.
type goods struct {
	image                       v1.Image
	layout, digest, chart, file string
}

func makeGoods(t *testing.T) goods {
	t.Helper()
	dir := t.TempDir()
	made := linuxImage(t, 20_000)
	digest, err := made.Digest()
	if err != nil {
		t.Fatal(err)
	}
	g := goods{image: made, layout: filepath.Join(dir, "layout"), digest: digest.String(),
		chart: filepath.Join(dir, "thing-0.1.0.tgz"), file: filepath.Join(dir, "hello.txt")}
	folder, err := layout.Write(g.layout, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.AppendImage(made, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "latest"})); err != nil {
		t.Fatal(err)
	}
	write(t, g.chart, chart(t))
	write(t, g.file, rand.Text())
	return g
}

// chart is a Helm chart that holds nothing.
func chart(t *testing.T) string {
	t.Helper()
	text := "apiVersion: v2\nname: thing\nversion: 0.1.0\ndescription: " + rand.Text() + "\n"
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	if err := w.WriteHeader(&tar.Header{Name: "thing/Chart.yaml", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// open makes a session of the program at a place, over TLS where there is a key
// pair, working below base (a repository path), with nothing remembered.
func open(t *testing.T, p program, at place, pair *keyPair, base string, g goods) *session {
	t.Helper()
	base = at.host + "/" + base
	s := &session{program: p, vars: map[string]string{
		"host": at.host, "base": base, "image": base + "/thing:0.1.0", "copy": base + "/copy:0.1.0",
		"layout": g.layout, "archive": archive(t, g.image, base+"/thing:0.1.0"), "digest": g.digest, "chart": g.chart, "file": g.file,
		"home": t.TempDir(), "name": strings.ToLower(rand.Text())}}
	s.become(at.user, at.password)
	if pair == nil {
		s.vars["transport"], s.vars["both"] = p.plain, p.plainBoth
		s.settle(t, ".config/containers/registries.conf", "[[registry]]\nlocation = \"{host}\"\ninsecure = true\n")
	} else {
		s.vars["transport"] = s.expand(p.secure)
		s.vars["authority"] = filepath.Join(pair.CADir, "ca.crt")
		s.settle(t, "hosts/"+at.host+"/hosts.toml", "server = \"https://{host}\"\n[host.\"https://{host}\"]\n")
	}
	s.settle(t, "auth.json", "{}")
	s.settle(t, "storage.conf", "[storage]\ndriver = \"vfs\"\ngraphroot = \"{home}/storage\"\nrunroot = \"{home}/run\"\n")
	if out, err := s.run(p.prepare); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, out)
	}
	return s
}

// become is somebody else at the same machine; no user is the anonymous caller.
func (s *session) become(user, password string) {
	s.vars["user"], s.vars["password"], s.vars["auth"] = user, password, ""
	if user != "" {
		s.vars["auth"] = s.expand(s.credentials)
	}
}

// settle writes a file below the session's home.
func (s *session) settle(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(s.vars["home"], name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, name, s.expand(text))
}

func (s *session) expand(text string) string {
	pairs := make([]string, 0, 2*len(s.vars))
	for key, value := range s.vars {
		pairs = append(pairs, "{"+key+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// words are a command's, with the variables filled in; one that is nothing but
// an empty variable is left out.
func (s *session) words(command string) []string {
	var list []string
	for _, word := range strings.Fields(command) {
		switch word {
		case "{transport}", "{both}", "{auth}":
			list = append(list, strings.Fields(s.vars[strings.Trim(word, "{}")])...)
		default:
			list = append(list, s.expand(word))
		}
	}
	return list
}

// run gives the program the commands until one fails, and returns all it said.
func (s *session) run(commands string) (string, error) {
	var said strings.Builder
	for line := range strings.Lines(commands) {
		cmd := exec.Command(authntest.Program(s.binary), s.words(line)...)
		cmd.Dir = s.vars["home"]
		cmd.Env = append(os.Environ(), "HOME="+s.vars["home"])
		if authority := s.vars["authority"]; authority != "" {
			cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+authority)
		}
		for key, value := range s.env {
			cmd.Env = append(cmd.Env, key+"="+s.expand(value))
		}
		cmd.Stdin = strings.NewReader(s.vars["password"])
		cmd.Stdout, cmd.Stderr = &said, &said
		fmt.Fprintf(&said, "$ %s %s\n", s.name, strings.TrimSpace(line))
		if err := cmd.Run(); err != nil {
			return said.String(), err
		}
	}
	return said.String(), nil
}

// columns are the steps of the matrix in their order.
var columns = []string{"login", "bad login", "push", "pull", "mount", "foreign mount", "tags", "delete", "denied push", "denied pull", "public pull", "anonymous pull", "anonymous push"}

// row is one program over one transport; its cells are "ok", "-" for what the
// program does not have, and what went wrong.
type row struct {
	name  string
	cells map[string]string
}

// expect runs commands that have to succeed, and notes it.
func (r *row) expect(t *testing.T, column string, s *session, commands string) {
	t.Helper()
	if commands == "" {
		r.cells[column] = "-"
		return
	}
	r.cells[column] = "ok"
	if out, err := s.run(commands); err != nil {
		r.cells[column] = "FAILED"
		t.Errorf("%s, %s: %v\n%s", r.name, column, err, out)
	}
}

// refuse runs commands that have to fail for a reason.
func (r *row) refuse(t *testing.T, column string, s *session, commands string, reason *regexp.Regexp) {
	t.Helper()
	r.cells[column] = "ok"
	if out, err := s.run(commands); err == nil || !reason.MatchString(out) {
		r.cells[column] = "FAILED"
		t.Errorf("%s, %s: %v, want a refusal like %s\n%s", r.name, column, err, reason, out)
	}
}

// What the programs say of a wrong password, of the policy's no, and of somebody
// unknown; the words are theirs.
var (
	badLogin = regexp.MustCompile(`(?i)unauthori[sz]ed|invalid username/password|authentication required|authorization failed|401`)
	denied   = regexp.MustCompile(`(?i)denied|403`)
	unknown  = regexp.MustCompile(`(?i)denied|unauthorized|authentication required|authorization failed|insufficient_scope|401`)
)

// site is a gateway in front of a recorded registry.
type site struct {
	*gateway
	recorder *recorder
	tls      *keyPair
}

func startSite(t *testing.T, registry string, s setup) *site {
	t.Helper()
	rec := startRecorder(t, registry)
	s.Upstream, s.BlobMount = rec.url(), "true"
	s.Policy = `  - {allow: [delete], repositories: ["anyuser/**"], to: ["user:mozart"]}
  - {allow: [pull], repositories: ["public/**"], to: [everyone]}`
	g := startGateway(t, s)
	g.push(t, "public/probe:v1", "admin", adminPassword)
	return &site{g, rec, s.TLS}
}

// open makes a session for somebody; without a user it is the anonymous caller.
func (s *site) open(t *testing.T, p program, user, password, base string, g goods) *session {
	t.Helper()
	return open(t, p, place{s.address, user, password}, s.tls, base, g)
}

// judge plays all steps of one program.
func (s *site) judge(t *testing.T, p program, r *row) {
	base := "anyuser/" + strings.NewReplacer(" ", "-", ".", "-").Replace(r.name)
	shop := "public/" + strings.TrimPrefix(base, "anyuser/")
	private, forged, public, spoilt := makeGoods(t), makeGoods(t), makeGoods(t), makeGoods(t)
	member := s.open(t, p, "mozart", musicians, base, private)
	r.expect(t, "login", member, join(p.login, p.check))
	wrong := s.open(t, p, "mozart", wrongPassword, base, private)
	r.refuse(t, "bad login", wrong, either(join(p.login, p.check), strings.ReplaceAll(p.pull, "{image}", s.address+"/public/probe:v1")), badLogin)
	r.expect(t, "push", member, p.push)
	r.expect(t, "pull", member, p.pull)
	s.recorder.sights()
	r.expect(t, "mount", member, p.mount)
	if from := s.mounted(); r.cells["mount"] == "ok" && from == 0 {
		r.cells["mount"] = "NOT MOUNTED"
		t.Errorf("%s pushed without a mount", r.name)
	}
	s.foreignMount(t, p, r, base)
	r.expect(t, "tags", member, p.tags)
	reader := s.open(t, p, "test", testPassword, base, forged)
	if out, err := reader.run(p.login); err != nil {
		t.Errorf("%s: test logs in: %v\n%s", r.name, err, out)
	}
	r.refuse(t, "denied push", reader, p.push, denied)
	outsider := s.open(t, p, "mozart", musicians, strings.Replace(base, "anyuser/", "hidden/", 1), forged)
	r.refuse(t, "denied pull", outsider, join(p.login, p.pull), denied)
	r.expect(t, "delete", member, p.deletion)
	owner := s.open(t, p, "admin", adminPassword, shop, public)
	if out, err := owner.run(join(p.login, p.push)); err != nil {
		t.Errorf("%s: admin publishes: %v\n%s", r.name, err, out)
	}
	stranger := s.open(t, p, "", "", shop, spoilt)
	r.expect(t, "public pull", stranger, p.pull)
	r.refuse(t, "anonymous push", stranger, p.push, unknown)
	nobody := s.open(t, p, "", "", base, private)
	r.refuse(t, "anonymous pull", nobody, p.pull, unknown)
}

func either(commands, others string) string {
	if commands != "" {
		return commands
	}
	return others
}

// join leaves out steps that a program does not have.
func join(commands ...string) string {
	commands = slices.DeleteFunc(commands, func(c string) bool { return c == "" })
	return strings.TrimSpace(strings.Join(commands, "\n"))
}

// mounted counts the mounts that the registry made since it was last looked at.
func (s *site) mounted() (n int) {
	for _, seen := range s.recorder.sights() {
		if seen.query.Has("from") && seen.status == http.StatusCreated {
			n++
		}
	}
	return n
}

// foreignMount: mozart pushes what admin pulled on the same machine. The program
// offers a mount from a repository that mozart may not read; the push has to get
// through by an upload, and nothing may be mounted.
func (s *site) foreignMount(t *testing.T, p program, r *row, base string) {
	const column = "foreign mount"
	if !p.store {
		r.cells[column] = "-"
		return
	}
	hidden := s.open(t, p, "admin", adminPassword, strings.Replace(base, "anyuser/", "hidden/", 1), makeGoods(t))
	if out, err := hidden.run(join(p.login, p.push, p.pull)); err != nil {
		t.Errorf("%s: admin hides an image: %v\n%s", r.name, err, out)
	}
	hidden.become("mozart", musicians)
	hidden.vars["copy"] = s.address + "/" + base + "/foreign:0.1.0"
	s.recorder.sights()
	r.expect(t, column, hidden, join(p.login, p.mount))
	if n := s.mounted(); n > 0 {
		r.cells[column] = "MOUNTED"
		t.Errorf("%s mounted %d blobs that mozart may not read", r.name, n)
	}
}

// TestClients is the matrix: every client does all it can, over plain HTTP and
// TLS, as a member, as one who may only pull and as the anonymous caller. A cell
// that is neither ok nor - fails it.
func TestClients(t *testing.T) {
	registry, ldap, pair := startRegistry(t), startDirectory(t), newKeyPair(t)
	sites := map[string]*site{"http": startSite(t, registry.url(), setup{LDAP: ldap}), "tls": startSite(t, registry.url(), setup{LDAP: ldap, TLS: pair})}
	var rows []*row
	began := time.Now()
	for _, p := range programs(t, filepath.Join(pair.CADir, "ca.crt")) {
		for _, transport := range []string{"http", "tls"} {
			r := &row{name: p.name + " " + transport, cells: map[string]string{}}
			rows = append(rows, r)
			t.Run(r.name, func(t *testing.T) { sites[transport].judge(t, p, r) })
		}
	}
	t.Logf("%d rows in %s\n%s", len(rows), time.Since(began).Round(time.Second), table(rows))
}

// TestClientTraces is TestTrace for the clients that it leaves out.
func TestClientTraces(t *testing.T) {
	for _, p := range programs(t, "") {
		if p.name == "docker" { // its Engine remembers where it pushed: TestTrace has one for each way
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			g := makeGoods(t)
			sameTrace(t, func(t *testing.T, at place) {
				s := open(t, p, at, nil, "anyuser/"+strings.Fields(p.name)[0], g)
				steps := []string{p.push, p.pull, p.mount, p.tags, p.deletion}
				if at.user != "" {
					steps = append([]string{p.login}, steps...)
				}
				for _, commands := range steps {
					if out, err := s.run(commands); err != nil {
						t.Errorf("%v\n%s", err, out)
					}
				}
			})
		})
	}
}

// table is the matrix as text.
func table(rows []*row) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "client\t"+strings.Join(columns, "\t"))
	for _, r := range rows {
		fmt.Fprint(w, r.name)
		for _, column := range columns {
			fmt.Fprint(w, "\t", r.cells[column])
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}
