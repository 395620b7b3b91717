package authn

import "errors"

// KeyError is a fault in a Config: Key is the config file's name of the value,
// relative to the Config it was found in (`users.filter`, `static[2].password_hash`).
// Several are joined by errors.Join; package cmd finds file, line and column for them.
type KeyError struct {
	// Key is relative to the Config, as above.
	Key string
	// Err is what is wrong with its value, and what to do.
	Err error
	// Warning: the config works, but its owner should know.
	Warning bool
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap gives the fault itself.
func (e *KeyError) Unwrap() error { return e.Err }

// Faults gathers what is wrong with a config, as *KeyError values.
type Faults struct {
	errs  []error
	fatal bool
}

// Add takes in what is wrong with the value of key; nil is nothing.
func (f *Faults) Add(key string, err error) {
	if err != nil {
		f.errs = append(f.errs, &KeyError{Key: key, Err: err})
		f.fatal = true
	}
}

// Warn takes in what works, but the config's owner should know; nil is nothing.
func (f *Faults) Warn(key string, err error) {
	if err != nil {
		f.errs = append(f.errs, &KeyError{Key: key, Err: err, Warning: true})
	}
}

// Join takes in an error that joins *KeyError values, or is one; nil is nothing.
func (f *Faults) Join(err error) {
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		var k *KeyError
		switch {
		case err == nil:
		case errors.As(err, &k):
			f.errs = append(f.errs, k)
			f.fatal = f.fatal || !k.Warning
		default:
			f.Add("", err)
		}
	}
}

// Fatal reports whether the config cannot be used: something besides warnings was added.
func (f *Faults) Fatal() bool { return f.fatal }

// Err joins all of them; nil where there are none.
func (f *Faults) Err() error { return errors.Join(f.errs...) }
