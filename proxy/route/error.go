package route

// Fault is what is wrong with a request.
type Fault int

// The faults.
const (
	Malformed  Fault = iota + 1 // what no endpoint takes: encodings, dot segments, doubled parameters
	NoEndpoint                  // no endpoint has that path
	NoMethod                    // the endpoint lacks the method
	NoManifest                  // a manifest is read by what can be no reference
	BadName                     // of a repository
	BadTag
	BadDigest
	BadPage // n of a list
)

// Error is why a request has no route.
type Error struct {
	Fault   Fault    // for whoever has to answer
	Message string   // for the client
	Allow   []string // with NoMethod: the endpoint's methods
}

func (e *Error) Error() string { return e.Message }

func malformed(message string) *Error { return &Error{Fault: Malformed, Message: message} }
