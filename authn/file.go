package authn

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// File is a value of the config that names a file. Whoever reads the config reads
// the file too, by one set of rules; packages use Data and open nothing themselves.
type File struct {
	// Name is as the config writes it, relative to the config's folder; empty: none is named.
	Name string
	// Data is what the file held when the config was read.
	Data []byte
	// Reread reads the file once more, by the same rules; nil: what Data holds is all there is.
	Reread func() ([]byte, error) `json:"-"`
}

// Again reads the file once more.
func (f File) Again() ([]byte, error) {
	if f.Reread == nil {
		return f.Data, nil
	}
	return f.Reread()
}

// SecretFile is a File that must be kept from others, without the CR and LF at
// its end, which an editor adds.
type SecretFile struct {
	// Name is as the config writes it, relative to the config's folder; empty: none is named.
	Name string
	// Secret is what the file held when the config was read; empty: nothing was read.
	Secret Secret
	// Reread reads the file once more, by the same rules; nil: what Secret holds is all there is.
	Reread func() (Secret, error) `json:"-"`
}

// Again reads the file once more.
func (f SecretFile) Again() (Secret, error) {
	if f.Reread == nil {
		return f.Secret, nil
	}
	return f.Reread()
}

// Folder is a value of the config that names a folder of which every file counts.
type Folder struct {
	// Name is as the config writes it, relative to the config's folder; empty: none is named.
	Name string
	// Files are those of the folder but for hidden ones, in the order of their names.
	Files []File
}

// Roots are the system's trusted certificates and those of a PEM file (`ca_file`) and
// of a folder of such files (`ca_dir`); nil where neither is named. A certificate that
// cannot be read is a fault, a *KeyError, because who put it there relies on it.
func Roots(file File, folder Folder) (*x509.CertPool, error) {
	if file.Name == "" && folder.Name == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	var faults Faults
	if file.Data != nil {
		faults.Add("ca_file", addRoots(pool, file))
	}
	for _, f := range folder.Files {
		faults.Add("ca_dir", addRoots(pool, f))
	}
	return pool, faults.Err()
}

// CertPool is the certificates of a PEM file and no others. Its error names the file.
func CertPool(file File) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	return pool, addRoots(pool, file)
}

// addRoots adds every certificate of a PEM file.
func addRoots(pool *x509.CertPool, file File) error {
	list, err := ParseCertificates(file)
	for _, cert := range list {
		pool.AddCert(cert)
	}
	return err
}

// ParseCertificates reads all certificates of a PEM file: one at least. Its error names the
// file.
func ParseCertificates(file File) (list []*x509.Certificate, err error) {
	for rest := file.Data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return list, fmt.Errorf("%s holds a certificate that cannot be read: %w", file.Name, err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", file.Name)
	}
	return list, nil
}

// KeyPair is the certificate of `cert_file` and `key_file` by which we are known to a
// server; nil where none is named or could be read. Its error is a *KeyError.
func KeyPair(cert File, key SecretFile) (*tls.Certificate, error) {
	if cert.Data == nil || key.Secret == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(cert.Data, []byte(key.Secret))
	if err != nil {
		return nil, &KeyError{Key: "cert_file", Err: fmt.Errorf("%s and %s are no pair: %w", cert.Name, key.Name, err)}
	}
	return &pair, nil
}
