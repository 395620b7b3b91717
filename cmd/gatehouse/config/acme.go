package config

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ACMEFolder is the folder of ordered certificates, with its path; empty: none are ordered.
func (l *Loaded) ACMEFolder() string {
	if t := l.Config.Listen.TLS; t != nil && t.ACME != nil {
		return l.Path(t.ACME.Storage)
	}
	return ""
}

// checkACME looks whether certificates could be kept. It makes no folder: an order does.
func (l *Loaded) checkACME() {
	folder := l.ACMEFolder()
	if folder == "" || l.Faulty("listen.tls.acme.storage") {
		return
	}
	l.files["listen.tls.acme.storage"] = true
	if err := l.storage(folder); err != nil {
		l.Fault("listen.tls.acme.storage", "%s cannot be used: %v", l.Config.Listen.TLS.ACME.Storage, err)
	}
}

// storage reports why a folder of secrets cannot be made, written to, or relied on.
func (l *Loaded) storage(folder string) error {
	info, err := os.Stat(folder)
	for ; os.IsNotExist(err); info, err = os.Stat(folder) {
		if up := filepath.Dir(folder); up != folder {
			folder = up
			continue
		}
		return err
	}
	switch {
	case err != nil:
		return reason(err)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", folder)
	case unix.Access(folder, unix.R_OK|unix.W_OK|unix.X_OK) != nil:
		return fmt.Errorf("uid %d cannot write in %s", os.Geteuid(), folder)
	}
	if problem := l.owners.folder(info); problem != "" {
		return fmt.Errorf("%s %s", folder, problem)
	}
	return l.owners.checkFolders(folder)
}
