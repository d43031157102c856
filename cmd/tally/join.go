package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tallystick/tallystick/client"
)

type deviceJoinCmd struct {
	Invitation string `arg:"" help:"URL that tally device enrol printed, or - to read it from standard input."`
	Token      bool   `help:"Get a token instead of having a key certified, for devices that cannot do TLS with certificates." xor:"kind"`
	Key        bool   `help:"Make a key here and enrol its public half: the default when the node has TLS." xor:"kind"`
	Out        string `help:"Folder to write the credential to." required:"" type:"path"`
}

// The files of a device's credential.
const (
	deviceKeyFile   = "device.key" // PKCS #8
	deviceCertFile  = "device.crt"
	authoritiesFile = "ca.crt"
	deviceTokenFile = "device.token"
	deviceFile      = "device.json"
)

func (c *deviceJoinCmd) Run(ctx context.Context, s *streams) error {
	text := c.Invitation
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
		if err != nil {
			return err
		}
		text = string(b)
	}
	v, err := client.ParseInvitation(text)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return fmt.Errorf("make the folder of the credential: %w", err)
	}
	for _, name := range []string{deviceKeyFile, deviceTokenFile, deviceFile} {
		if _, err := os.Lstat(filepath.Join(c.Out, name)); err == nil {
			return fmt.Errorf("%s has a credential already (%s): choose another folder", c.Out, name)
		}
	}
	var public ed25519.PublicKey
	secret := deviceTokenFile
	if c.Key || !c.Token && strings.HasPrefix(v.URL, "https:") {
		secret = deviceKeyFile
		if public, err = makeKey(filepath.Join(c.Out, deviceKeyFile)); err != nil {
			return err
		}
	}
	e, err := v.Enrol(ctx, public)
	if err != nil {
		if public != nil {
			os.Remove(filepath.Join(c.Out, deviceKeyFile)) // nobody knows it
		}
		return fmt.Errorf("enrol at %s: %w", v.URL, err)
	}
	var errs []error
	for _, f := range []struct {
		name, content string
		mode          os.FileMode
	}{{deviceTokenFile, e.Token, 0o600}, {deviceCertFile, e.Certificate, 0o644}, {authoritiesFile, e.Authorities, 0o644}} {
		if f.content != "" {
			errs = append(errs, create(filepath.Join(c.Out, f.name), []byte(strings.TrimSuffix(f.content, "\n")+"\n"), f.mode))
		}
	}
	e.Token, e.Certificate, e.Authorities = "", "", ""
	doc, err := json.MarshalIndent(struct {
		URL string `json:"url"`
		*client.Enrolment
	}{v.URL, e}, "", "  ")
	errs = append(errs, err, create(filepath.Join(c.Out, deviceFile), append(doc, '\n'), 0o644))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the code was used, but its credential could not be kept (revoke %s): %w", e.Key, err)
	}
	fmt.Fprintf(s.out, "This is %s now, as %s; its key on the ledger is %s. The secret is in %s.\n", e.Originator, e.Role, e.Key, filepath.Join(c.Out, secret))
	return nil
}

// makeKey draws an Ed25519 key, writes it and returns its public half.
func makeKey(path string) (ed25519.PublicKey, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return public, create(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// readKey reads what makeKey wrote.
func readKey(path string) (ed25519.PublicKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s is no key in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no Ed25519 key", path)
	}
	return private.Public().(ed25519.PublicKey), nil
}

// create writes a new file durably.
func create(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
