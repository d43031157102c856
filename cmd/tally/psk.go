package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/tallystick/tallystick/internal/node"
)

type devicePSKCmd struct {
	Token string `arg:"" help:"File with the device's token." type:"existingfile"`
}

// Run prints what a device needs for DTLS with a pre-shared key. It asks nobody.
func (c *devicePSKCmd) Run(s *streams) error {
	b, err := os.ReadFile(c.Token)
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	key, err := node.PreSharedKey(token)
	if err != nil {
		return err
	}
	id := sha256.Sum256([]byte(token))
	fmt.Fprintf(s.out, "identity %x\nkey %x\n", id[:8], key)
	return nil
}
