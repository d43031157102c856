package ingress

// Known says whether token is a valid credential, so that a binding can turn a stranger away before it reads the
// body. It is true also when that cannot be found out; Do then says why. It is part of the bindings' Handler.
func (g *Ingress) Known(token string) bool {
	if token == "" && g.o.App.Genesis().CSE.Lab {
		return true
	}
	cred, err := g.auth.authenticate(token)
	return cred != nil || err != nil
}

// Claim returns the originator that the holder of token speaks for, for a binding whose clients say once who they are
// and not with every request. It is false when token is no valid credential, or claimed, unless empty, is another
// originator. In a lab network whoever shows no token is who he claims to be.
func (g *Ingress) Claim(token, claimed string) (originator string, ok bool) {
	if token == "" && g.o.App.Genesis().CSE.Lab {
		return claimed, true
	}
	cred, err := g.auth.authenticate(token)
	if err != nil || cred == nil || claimed != "" && !g.claims(claimed, cred.Originator) {
		return "", false
	}
	return cred.Originator, true
}
