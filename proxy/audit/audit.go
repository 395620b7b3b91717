// Package audit is the stream that tells who came in, who was turned away, and what
// was changed: the events that it knows, which of them strangers can cause in any
// number, and the stream itself, which never holds up whoever writes to it.
package audit

import "slices"

// Event is what a record tells; its text stands in the record's field event.
type Event string

// The events.
const (
	Login      Event = "login"      // a password or refresh token was taken, refused, or could not be checked
	Token      Event = "token"      // a token was refused that no clock made bad
	Throttle   Event = "throttle"   // a login or request was refused with 429
	Denied     Event = "denied"     // the policy said no
	Push       Event = "push"       // a manifest or blob was stored
	Delete     Event = "delete"     // one was deleted
	Reload     Event = "reload"     // a config was taken or refused
	Credential Event = "credential" // a long-lived token was made, revoked, or has ended
	Purge      Event = "purge"      // the cache was told to forget something
	Start      Event = "start"      // of the gateway
	Stop       Event = "stop"       // of the gateway
	Request    Event = "request"    // one of somebody whose every request is recorded, of no other kind
	Freeze     Event = "freeze"     // pushes and deletes were stopped
	Thaw       Event = "thaw"       // and let through again
	Logout     Event = "logout"     // a session of a browser was ended by its person
	LeftOut    Event = "left_out"   // records of a kind were too many
)

// Result is how an event ended; its text stands in the record's field result.
type Result string

// The results.
const (
	OK          Result = "ok"
	Refused     Result = "refused"
	Unavailable Result = "unavailable" // it could not be found out
	Unknown     Result = "unknown"     // the registry was asked and gave no answer

	// Those of a Credential.
	Created Result = "created"
	Revoked Result = "revoked"
	Expired Result = "expired"
)

// Strangers reports whether somebody without any right can cause the event in any
// number. Such records are sampled; all others, which tell what was changed, are
// always written.
func (e Event) Strangers() bool { return slices.Contains([]Event{Login, Token, Throttle, Denied}, e) }

// Changes reports whether the event is of something that was stored or deleted.
func (e Event) Changes() bool { return e == Push || e == Delete }

// Config is the section `audit` of the config.
type Config struct {
	// File is the stream's file, made with mode 0600; "-": stdout. Empty, the default: off.
	File string `yaml:"file"`
	// PerSecond is how many records a second there may be of each kind that strangers
	// can cause; ten times that in a burst. Default 100.
	PerSecond int `yaml:"per_second" min:"1" max:"1000000"`
	// AllOf are people, in the words of a rule's `to`, whose every request is recorded,
	// pulls too. Default nobody.
	AllOf []string `yaml:"all_of"`
}

// Defaults are what the config file may leave out.
func (c *Config) Defaults() { *c = Config{PerSecond: 100} }
