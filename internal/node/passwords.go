package node

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mirai are the factory passwords that the Mirai worm tried in 2016, as its source was published: a user and a password a
// line, 60 pairs when those that it has twice count once. What broke into a million cameras with them still goes round.
//
//go:embed mirai.txt
var mirai string

// isFactorySetting says whether scanners try this password, with this user or with another.
func isFactorySetting(user, password string) bool {
	for line := range strings.Lines(mirai) {
		u, p, _ := strings.Cut(strings.TrimSpace(line), " ")
		if u == user && p == password || p != "" && p == password {
			return true
		}
	}
	return false
}

// secret is a password in the configuration.
type secret struct{ field, user, password string }

// checkPasswords refuses a configuration with a password that is known to everybody, or one that is used twice: whoever
// gets to know it in one place has it in the other. No error has a password.
func checkPasswords(dir string, doc []byte) error {
	var all any
	if err := json.Unmarshal(doc, &all); err != nil {
		return err
	}
	secrets := secretsIn("", all)
	var c Config
	if err := json.Unmarshal(doc, &c); err != nil {
		return err
	}
	for id, file := range c.PeerTokens {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		// One that is missing is found out when it is needed.
		if b, err := os.ReadFile(file); err == nil {
			secrets = append(secrets, pairOf("peerTokens."+id, strings.TrimSpace(string(b))))
		}
	}
	slices.SortFunc(secrets, func(a, b secret) int { return strings.Compare(a.field, b.field) })
	used := make(map[string]string)
	for _, s := range secrets {
		if isFactorySetting(s.user, s.password) {
			return fmt.Errorf("%s has a password that is in the list of the Mirai worm, which every scanner tries: set another one where it is from", s.field)
		}
		if first, twice := used[s.password]; twice && s.password != "" {
			return errors.New(first + " and " + s.field + " have the same password: who gets to know it in one place has it in the other; use one for each")
		}
		used[s.password] = s.field
	}
	return nil
}

// secretsIn finds the passwords in a JSON value: those in URLs, and what is written as user:password.
func secretsIn(field string, value any) (all []secret) {
	at := func(key string) string { return strings.TrimPrefix(field+"."+key, ".") }
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			all = append(all, secretsIn(at(key), inner)...)
		}
	case []any:
		for i, inner := range v {
			all = append(all, secretsIn(fmt.Sprintf("%s[%d]", field, i), inner)...)
		}
	case string:
		if u, err := url.Parse(v); err == nil && u.User != nil {
			password, _ := u.User.Password()
			all = append(all, secret{field, u.User.Username(), password})
		} else if s := pairOf(field, v); s.user != "" && isFactorySetting(s.user, s.password) {
			all = append(all, s)
		}
	}
	return all
}

// pairOf reads user:password, or a password alone.
func pairOf(field, text string) secret {
	if user, password, ok := strings.Cut(text, ":"); ok {
		return secret{field, user, password}
	}
	return secret{field, "", text}
}
