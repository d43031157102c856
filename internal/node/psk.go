package node

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pskDir is where a node keeps the pre-shared keys of DTLS, below its keys.
const pskDir = "psk"

// pskLabel begins a new line of keys should their derivation ever have to change.
const pskLabel = "tallystick dtls psk v1"

// PreSharedKey derives the key with which a device makes DTLS sessions (RFC 4279) from its token, by HKDF-SHA256 without
// salt (RFC 5869). Who knows the key does not know the token. The identity that goes with it is the credential's ID in
// hex.
func PreSharedKey(token string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(token), nil, pskLabel, 32)
}

// keepPSK keeps the pre-shared key of a credential that was just made on this node, if the node serves DTLS. The ledger
// must not have it: there everybody could use it. So only this node takes it.
func (n *Node) keepPSK(id, token string) error {
	if n.cfg.CoAPS == "" {
		return nil
	}
	key, err := PreSharedKey(token)
	if err != nil {
		return err
	}
	dir := filepath.Join(n.dir, keysDir, pskDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, id), []byte(hex.EncodeToString(key)+"\n"), 0o600)
}

// preSharedKey is the key of an identity, nil when there is none here. Whether its credential is still valid is asked with
// each request, as for everybody.
func (n *Node) preSharedKey(identity string) []byte {
	if id, err := hex.DecodeString(identity); err != nil || len(id) != 8 || hex.EncodeToString(id) != identity {
		return nil // no name of a file
	}
	b, err := os.ReadFile(filepath.Join(n.dir, keysDir, pskDir, identity))
	if err != nil {
		return nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil
	}
	return key
}

// dropPSK forgets the key of a credential that is revoked, as far as this node has it.
func (n *Node) dropPSK(id string) {
	if key := n.preSharedKey(id); key == nil {
		return
	}
	if err := os.Remove(filepath.Join(n.dir, keysDir, pskDir, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("remove the pre-shared key of a revoked credential, which is of no use to anybody", "err", err)
	}
}
