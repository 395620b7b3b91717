package authntest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Behaviour is how a Fake treats searches (and whole connections) for now.
type Behaviour int

// The behaviours, besides answering well.
const (
	Good          Behaviour = iota
	Silent                  // takes requests and answers nothing, not even binds
	StopsReading            // takes connections and reads nothing
	CloseAtOnce             // closes connections as they come, and those there are
	CloseOnUse              // binds, and closes the connection when a search comes
	Busy                    // result 51
	SizeLimit               // no entry and result 4: the server's own limit
	TwoEntries              // two entries and result 4: there are more
	Malformed               // bytes that are no LDAP message
	Truncated               // a message that lacks parts
	ReferralOnly            // result 10
	WithReference           // the entry, and a continuation reference beside it
	NoSuchObject            // result 32
	Forbidden               // result 50
	Empty                   // success and no entry
	SilentTLS               // agrees to StartTLS and says nothing more
)

// Fake is an LDAP server in this process that misbehaves as told. It knows one
// person, mozart, with Password, until Put makes it a small directory.
type Fake struct {
	listener net.Listener
	ended    chan struct{}

	mu        sync.Mutex
	behaviour Behaviour
	delay     time.Duration
	entries   []fakeEntry // of Put
	limit     int
	bindCode  uint16 // of AnswerBinds
	bindText  string
	counts    map[string]int
	conns     map[net.Conn]bool
	closed    bool
	running   sync.WaitGroup
}

// StartFake starts a server that behaves well, until the test ends.
func StartFake(t testing.TB) *Fake {
	t.Helper()
	f, err := NewFake()
	must(t, err)
	t.Cleanup(f.Close)
	return f
}

// NewFake starts a server that behaves well on a free port of loopback.
func NewFake() (*Fake, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Fake{listener: listener, ended: make(chan struct{}), counts: map[string]int{}, conns: map[net.Conn]bool{}}
	f.running.Go(f.accept)
	return f, nil
}

// URL is the ldap:// address. StartTLS is refused there.
func (f *Fake) URL() string { return "ldap://" + f.listener.Addr().String() }

// Behave changes how later requests are treated.
func (f *Fake) Behave(b Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behaviour = b
}

// Delay makes every later answer wait.
func (f *Fake) Delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Disconnect closes every connection, as servers do with idle ones.
func (f *Fake) Disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		conn.Close()
	}
}

// Count is how many operations of a kind have come: connect, bind (of people),
// service (binds of ServiceDN), search, starttls.
func (f *Fake) Count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[kind]
}

// Open is how many connections are open now.
func (f *Fake) Open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// Close ends the server and its connections.
func (f *Fake) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	close(f.ended)
	f.listener.Close()
	f.Disconnect()
	f.running.Wait()
}

func (f *Fake) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.counts["connect"]++
		if f.closed || f.behaviour == CloseAtOnce {
			conn.Close()
		} else {
			f.conns[conn] = true
			f.running.Go(func() { f.serve(conn) })
		}
		f.mu.Unlock()
	}
}

func (f *Fake) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		f.mu.Lock()
		delete(f.conns, conn)
		f.mu.Unlock()
	}()
	reader := bufio.NewReader(conn)
	for {
		packet, err := ber.ReadPacket(reader)
		switch {
		case err != nil || len(packet.Children) < 2:
			return
		case f.now() == StopsReading:
			<-f.ended // conn stays open, and unread
			return
		case !f.answer(conn, packet):
			return
		case f.now() == SilentTLS && packet.Children[1].Tag == ldap.ApplicationExtendedRequest:
			io.Copy(io.Discard, reader)
			return
		}
	}
}

func (f *Fake) now() Behaviour {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.behaviour
}

// answer replies to one request; false: the connection ends.
func (f *Fake) answer(conn net.Conn, packet *ber.Packet) bool {
	id, _ := packet.Children[0].Value.(int64)
	operation := packet.Children[1]
	f.mu.Lock()
	behaviour, delay, directory := f.behaviour, f.delay, len(f.entries) > 0
	f.counts[kindOf(operation)]++
	f.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay) // the slow server itself
	}
	switch behaviour {
	case Silent:
		return true
	case CloseAtOnce:
		return false
	}
	var replies []*ber.Packet
	switch operation.Tag {
	case ldap.ApplicationBindRequest:
		replies = append(replies, f.bound(operation))
	case ldap.ApplicationExtendedRequest: // StartTLS
		code := uint16(ldap.LDAPResultUnavailable)
		if behaviour == SilentTLS {
			code = ldap.LDAPResultSuccess
		}
		replies = append(replies, result(ldap.ApplicationExtendedResponse, code))
	case ldap.ApplicationSearchRequest:
		switch behaviour {
		case CloseOnUse:
			return false
		case Malformed:
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return true
		}
		if replies = searchReplies(behaviour, operation); directory && behaviour == Good {
			replies = f.matching(operation)
		}
	default:
		return false
	}
	for _, reply := range replies {
		message := sequence(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
		message.AppendChild(reply)
		if _, err := conn.Write(message.Bytes()); err != nil {
			return false
		}
	}
	return true
}

func kindOf(operation *ber.Packet) string {
	switch operation.Tag {
	case ldap.ApplicationBindRequest:
		if name, _ := credentials(operation); name == ServiceDN {
			return "service"
		}
		return "bind"
	case ldap.ApplicationSearchRequest:
		return "search"
	case ldap.ApplicationExtendedRequest:
		return "starttls"
	}
	return "other"
}

func credentials(bind *ber.Packet) (name, password string) {
	if len(bind.Children) < 3 {
		return "", ""
	}
	name, _ = bind.Children[1].Value.(string)
	return name, bind.Children[2].Data.String()
}

// AnswerBinds makes every later bind of a person end with code and a text, as
// servers explain a refusal; 0 undoes it.
func (f *Fake) AnswerBinds(code uint16, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bindCode, f.bindText = code, text
}

func (f *Fake) bound(bind *ber.Packet) *ber.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bindCode != 0 && kindOf(bind) == "bind" {
		return explained(ldap.ApplicationBindResponse, f.bindCode, f.bindText)
	}
	return result(ldap.ApplicationBindResponse, f.bindResultLocked(bind))
}

// bindResultLocked is good for the entry's own password or else Password, and for no
// password at all, as RFC 4513 5.1.2 has it.
func (f *Fake) bindResultLocked(bind *ber.Packet) uint16 {
	name, password := credentials(bind)
	if wanted := f.passwordLocked(name); password == wanted || password == "" {
		return ldap.LDAPResultSuccess
	}
	return ldap.LDAPResultInvalidCredentials
}

func searchReplies(behaviour Behaviour, search *ber.Packet) []*ber.Packet {
	done := func(code uint16) *ber.Packet { return result(ldap.ApplicationSearchResultDone, code) }
	found := mentions(search, "mozart")
	switch behaviour {
	case Busy:
		return []*ber.Packet{done(ldap.LDAPResultBusy)}
	case SizeLimit:
		return []*ber.Packet{done(ldap.LDAPResultSizeLimitExceeded)}
	case ReferralOnly:
		return []*ber.Packet{done(ldap.LDAPResultReferral)}
	case NoSuchObject:
		return []*ber.Packet{done(ldap.LDAPResultNoSuchObject)}
	case Forbidden:
		return []*ber.Packet{done(ldap.LDAPResultInsufficientAccessRights)}
	case TwoEntries:
		return []*ber.Packet{entry(MozartDN, "mozart"), entry(BachDN, "mozart"), done(ldap.LDAPResultSizeLimitExceeded)}
	case Truncated:
		return []*ber.Packet{ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")}
	case WithReference:
		return []*ber.Packet{entry(MozartDN, "mozart"), reference("ldap://127.0.0.1:1/dc=elsewhere"), done(0)}
	case Good:
		if found {
			return []*ber.Packet{entry(MozartDN, "mozart"), done(0)}
		}
	}
	return []*ber.Packet{done(0)}
}

// mentions looks for a value anywhere in a request.
func mentions(packet *ber.Packet, value string) bool {
	if text, ok := packet.Value.(string); ok && strings.EqualFold(text, value) {
		return true
	}
	if packet.ClassType == ber.ClassContext && packet.Data != nil && strings.EqualFold(packet.Data.String(), value) {
		return true
	}
	for _, child := range packet.Children {
		if mentions(child, value) {
			return true
		}
	}
	return false
}

func result(tag ber.Tag, code uint16) *ber.Packet { return explained(tag, code, "") }

func explained(tag ber.Tag, code uint16, message string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, uint64(code), ""))
	p.AppendChild(text(""))
	p.AppendChild(text(message))
	return p
}

func entry(dn, uid string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(dn))
	p.AppendChild(sequence(attribute("uid", uid), attribute("entryUUID", "11111111-2222-3333-4444-555555555555")))
	return p
}

func attribute(name string, values ...string) *ber.Packet {
	set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for _, value := range values {
		set.AppendChild(text(value))
	}
	return sequence(text(name), set)
}

func reference(url string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	p.AppendChild(text(url))
	return p
}

func sequence(children ...*ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	for _, child := range children {
		p.AppendChild(child)
	}
	return p
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}
