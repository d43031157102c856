package onem2m

import (
	"fmt"
	"strings"
)

// MaxJWT is the longest JSON Web Token in compact serialization, in bytes.
const MaxJWT = 8 << 10

// IsJWT says whether a text has the form of an authorization token: a JWS or JWE in compact serialization, which is three
// or five parts of base64url apart by dots (m2m:dynAuthJWT, TS-0004 clause 6.3.3). No credential of this project has it.
func IsJWT(s string) bool { return checkJWT(s) == nil }

func checkJWT(s string) error {
	if len(s) > MaxJWT {
		return fmt.Errorf("a JSON Web Token of %d bytes; the limit is %d", len(s), MaxJWT)
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 && len(parts) != 5 || parts[0] == "" {
		return fmt.Errorf("want a JSON Web Token: a header, claims and a signature in base64url, with dots between")
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("a JSON Web Token has no character %q", c)
		}
	}
	return nil
}

// SplitIssuedID parts a Role-ID or Token-ID: "nurse@hospital.example" is the name nurse that hospital.example gives (TS-0004
// clause 6.3.3, m2m:roleID and m2m:tokenID). ok is false for anything else.
func SplitIssuedID(id string) (name, issuer string, ok bool) {
	name, issuer, _ = strings.Cut(id, "@")
	return name, issuer, checkIssuedID(id) == nil
}

// checkIssuedID takes more than domain names after the '@': what the names of organisations are made of.
func checkIssuedID(s string) error {
	name, issuer, ok := strings.Cut(s, "@")
	if !ok || name == "" || issuer == "" || len(s) > 256 {
		return fmt.Errorf("%.64q is no Role-ID or Token-ID: want a name, '@' and a domain name, 256 bytes at most", s)
	}
	for _, part := range [...]string{name, issuer} {
		for i := range len(part) {
			c := part[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
				return fmt.Errorf("%.64q has a character other than a-z A-Z 0-9 - . _", s)
			}
		}
	}
	return nil
}

// addIssuedIDs adds Role-IDs or Token-IDs, apart by '+' as a query string has them.
func addIssuedIDs(dst *[]string, name, value string) error {
	for v := range strings.SplitSeq(value, "+") {
		if err := addIssuedID(dst, name, v); err != nil {
			return err
		}
	}
	return nil
}

func addIssuedID(dst *[]string, name, value string) error {
	if err := checkIssuedID(value); err != nil {
		return badRequest("parameter %s: %v", name, err)
	}
	return addValue(dst, name, value)
}

// issuedIDsParameter adds the Role-IDs or Token-IDs of a list.
func issuedIDsParameter(dst *[]string, name string, value []byte) error {
	return eachParameter(name, value, func(v string) error { return addIssuedID(dst, name, v) })
}

// tokensParameter adds the tokens of a list, which may be longer than other values.
func tokensParameter(dst *[]string, value []byte) error {
	return eachValue(value, func(v []byte) error {
		s, err := parameterText("tkns", v)
		switch {
		case err != nil:
			return err
		case !IsJWT(s):
			if err := checkParameterValue("tkns", s); err != nil {
				return err
			}
		}
		return addValue(dst, "tkns", s)
	})
}
