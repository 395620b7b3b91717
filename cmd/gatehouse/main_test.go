package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/gatehouse/assembly"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

var update = flag.Bool("update", false, "write what the scripts saw into them")

// patience is how long a script waits for something that happens at once.
const patience = 20 * time.Second

// TestScripts drives the program by its commands, signals and exit statuses.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "signal": sendSignal, "finish": finish, "await": await,
			"status": status, "registry": startRegistry, "http": askHTTP, "mode": setMode, "hold": holdPort, "open": openBlob, "close": closeBlob,
			"append": appendLine, "replace": replaceText, "free": freePort, "pair": writePair,
		},
	})
}

// processes are the gatehouses that scripts run beside themselves.
type processes struct {
	mu   sync.Mutex
	list map[string]*authntest.Process
}

// running are the processes by folder of the script and name.
var running = processes{list: map[string]*authntest.Process{}}

func (p *processes) get(ts *testscript.TestScript, name string) *authntest.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.list[ts.Getenv("WORK")+name]
	if s == nil {
		ts.Fatalf("no process %s", name)
	}
	return s
}

// start NAME ARGS...: gatehouse in the background, its output in NAME.out and NAME.err.
func start(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath("gatehouse")
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	out, err := os.Create(ts.MkAbs(args[0] + ".out"))
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs(args[0] + ".err"))
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = out, errs
	process, err := authntest.StartProcess(cmd, syscall.SIGKILL)
	ts.Check(err)
	running.mu.Lock()
	running.list[ts.Getenv("WORK")+args[0]] = process
	running.mu.Unlock()
	ts.Defer(func() {
		process.Kill() // it has ended where all went well
		out.Close()
		errs.Close()
	})
}

// signal NAME TERM|INT|HUP|USR1|KILL.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "KILL": syscall.SIGKILL}
	ts.Check(running.get(ts, args[0]).Cmd.Process.Signal(signals[args[1]]))
}

// finish NAME STATUS waits for the end.
func finish(ts *testscript.TestScript, _ bool, args []string) {
	s := running.get(ts, args[0])
	select {
	case <-s.Ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
	if got := strconv.Itoa(s.Cmd.ProcessState.ExitCode()); got != args[1] {
		said, _ := os.ReadFile(ts.MkAbs(args[0] + ".err")) // shown below
		ts.Fatalf("%s ended with status %s, not %s\n%s", args[0], got, args[1], said)
	}
}

// await FILE REGEXP [VARIABLE] waits for the text, and keeps its first group.
func await(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile("(?m)" + args[1])
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		ts.Check(err)
		if m := re.FindSubmatch(text); m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], string(m[1]))
			}
			return
		}
	}
	text, _ := os.ReadFile(ts.MkAbs(args[0])) // shown below
	ts.Fatalf("%s never has %s:\n%s", args[0], args[1], text)
}

// status N ARGS...: gatehouse ends with this status; stdout and stderr as after exec.
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("gatehouse", args[1:]...)
	got := 0
	if e, ok := err.(*exec.ExitError); ok {
		got = e.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("gatehouse %s ended with %d, not %s", args[1:], got, args[0])
	}
}

// registry VARIABLE [login]: an upstream whose blobs hang until they are closed.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(args) > 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "{}")
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}

// http STATUS URL [REGEXP]: one GET, and what its body must hold. It asks again
// until it gets this, because a signal takes a moment.
func askHTTP(ts *testscript.TestScript, _ bool, args []string) {
	last := ""
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // each a new connection
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		resp, err := client.Get(args[1])
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(resp.Body)
		ts.Check(err)
		ts.Check(resp.Body.Close())
		last = fmt.Sprintf("%d %s", resp.StatusCode, body)
		if strconv.Itoa(resp.StatusCode) == args[0] && (len(args) < 3 || regexp.MustCompile("(?m)"+args[2]).Match(body)) {
			return
		}
	}
	ts.Fatalf("%s: got %s", args[1], last)
}

// append FILE LINE.
func appendLine(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0)
	ts.Check(err)
	_, err = fmt.Fprintln(f, args[1])
	ts.Check(err)
	ts.Check(f.Close())
}

// replace FILE OLD NEW.
func replaceText(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.Replace(ts.ReadFile(args[0]), args[1], args[2], 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// free VARIABLE: an address on which nobody listens.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], l.Addr().String())
}

// pair: a certificate for 127.0.0.1 in tls.crt and tls.key.
func writePair(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// mode OCTAL FILE.
func setMode(ts *testscript.TestScript, _ bool, args []string) {
	mode, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[1]), os.FileMode(mode)))
}

// hold VARIABLE: a port in use.
func holdPort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// connections are those that open made.
var connections sync.Map

// open ADDRESS: a request whose headers have come but whose body does not end.
func openBlob(ts *testscript.TestScript, _ bool, args []string) {
	conn, err := net.Dial("tcp", args[0])
	ts.Check(err)
	_, err = io.WriteString(conn, "POST /auth HTTP/1.1\r\nHost: "+args[0]+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n")
	ts.Check(err)
	line := make([]byte, 12) // the handler reads the body now
	_, err = io.ReadFull(conn, line)
	ts.Check(err)
	connections.Store(ts.Getenv("WORK"), conn)
	ts.Defer(func() { conn.Close() })
}

// close ends that request's body.
func closeBlob(ts *testscript.TestScript, _ bool, _ []string) {
	conn, ok := connections.Load(ts.Getenv("WORK"))
	if !ok {
		ts.Fatalf("nothing is open")
	}
	_, err := io.WriteString(conn.(net.Conn), "grant_type=none&x="+strings.Repeat("x", 99-len("grant_type=none&x=")))
	ts.Check(err)
	_, err = io.ReadAll(conn.(net.Conn))
	ts.Check(err)
}

// TestBroken loads every broken config as serve does. The table is expected.txt, a
// line for each fault that check prints.
func TestBroken(t *testing.T) {
	table, err := os.ReadFile("config/testdata/broken/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("config/testdata/broken/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d broken configs: %v", len(files), err)
	}
	want := map[string]string{}
	for l := range strings.Lines(string(table)) {
		name, _, _ := strings.Cut(l, ":")
		want[name] += l
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := assembly.Look(file)
			defer s.Release()
			name := filepath.Base(file)
			var got strings.Builder
			for _, f := range s.Loaded.Faults() {
				f.File = name
				fmt.Fprintln(&got, f)
			}
			if got.String() == "" || got.String() != want[name] {
				t.Errorf("got\n%swant\n%s", got.String(), want[name])
			}
			if err := serve(context.Background(), file, quiet(), nil); err == nil {
				t.Error("serve started")
			}
		})
	}
}
