package pki

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// WriteFile writes a private file (mode 0600) so that a crash leaves either the old content or the new.
func WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // it is gone already when all went well
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Pair is a certificate's file and its key's.
type Pair struct {
	CertFile, KeyFile string
}

// PairIn names the pair of a directory: NAME.crt and NAME.key.
func PairIn(dir, name string) Pair {
	return Pair{CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key")}
}

// EnsureAuthority reads the authority of a directory, or makes it when neither file is there. A half that is missing is an
// error: making a new authority would lock every member out.
func EnsureAuthority(files Pair, commonName string, now time.Time) (*Authority, error) {
	haveCert, err := exists(files.CertFile)
	if err != nil {
		return nil, err
	}
	haveKey, err := exists(files.KeyFile)
	if err != nil {
		return nil, err
	}
	// The certificate is written last, so a key alone is a run that was cut short.
	if haveCert {
		if !haveKey {
			return nil, fmt.Errorf("the key %s of the authority is missing", files.KeyFile)
		}
		return LoadAuthority(files.CertFile, files.KeyFile)
	}
	authority, err := NewAuthority(commonName, now)
	if err != nil {
		return nil, err
	}
	key, err := encodeKey(authority.key)
	if err != nil {
		return nil, err
	}
	if err := WriteFile(files.KeyFile, key); err != nil {
		return nil, err
	}
	if err := WriteFile(files.CertFile, authority.PEM()); err != nil {
		return nil, err
	}
	return authority, nil
}

// EnsureLeaf makes the pair say what the leaf says, signed by the authority: it keeps a good pair and renews any other. With
// chain the authority's certificate follows the leaf in the file. It reports whether the pair was made anew.
func (a *Authority) EnsureLeaf(files Pair, leaf Leaf, chain bool, now time.Time) (renewed bool, err error) {
	key, err := EnsureKey(files.KeyFile)
	if err != nil {
		return false, err
	}
	if cert, err := loadCert(files.CertFile); err == nil && a.renewalReason(cert, key.Public(), leaf, now) == "" {
		return false, nil
	}
	data, err := a.Sign(leaf, key.Public(), now)
	if err != nil {
		return false, err
	}
	if chain {
		data = append(data, a.PEM()...)
	}
	return true, WriteFile(files.CertFile, data)
}

// EnsureKey reads the private key of a file, or makes it when the file is missing.
func EnsureKey(file string) (crypto.Signer, error) {
	have, err := exists(file)
	if err != nil {
		return nil, err
	}
	if have {
		return LoadKey(file)
	}
	key, data, err := NewKey()
	if err != nil {
		return nil, err
	}
	return key, WriteFile(file, data)
}

func exists(file string) (bool, error) {
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", file, err)
	}
	return true, nil
}
