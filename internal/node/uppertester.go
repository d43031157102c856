package node

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tallystick/tallystick/onem2m"
)

// upperTesterPath is where a lab network serves the upper tester. No resource can be reached by this name.
const upperTesterPath = "__ut__"

// upperTester lets a conformance suite prepare the system under test (oneM2M TS-0019 clause 6): POST with the command in
// the header X-M2M-UTCMD, answered with X-M2M-RSC and the result in X-M2M-UTRSP. Commands are in any case of letters.
type upperTester struct {
	n *Node

	mu sync.Mutex
	// resourceExpiration is the expiration of <request> resources, in seconds, that the suite asked for; 0 for none.
	resourceExpiration int
	timeout            time.Duration // the node's own, while the suite has another in force; else 0
}

func newUpperTester(n *Node) *upperTester { return &upperTester{n: n} }

// checkInterval is what a suite is told of the pauses between two looks at expired resources, in seconds. There are none:
// what has expired is not found from that moment on, and removed within milliseconds.
const checkInterval = 1

// maxInterval bounds what a suite may set, in seconds.
const maxInterval = 3600

func (u *upperTester) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "the upper tester takes POST only", http.StatusMethodNotAllowed)
		return
	}
	name, argument, _ := strings.Cut(strings.TrimSpace(r.Header.Get("X-M2M-UTCMD")), " ")
	result, err := u.do(r, name, strings.TrimSpace(argument))
	if err != nil {
		w.Header().Set("X-M2M-RSC", strconv.Itoa(int(onem2m.StatusBadRequest)))
		w.Header().Set("X-M2M-UTRSP", oneLine(err.Error()))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("X-M2M-RSC", strconv.Itoa(int(onem2m.StatusOK)))
	if result != "" {
		w.Header().Set("X-M2M-UTRSP", result)
	}
	w.WriteHeader(http.StatusOK)
}

// oneLine makes a text fit for a header.
func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func (u *upperTester) do(r *http.Request, name, argument string) (string, error) {
	switch strings.ToLower(name) {
	case "status":
		return "RUNNING", nil
	case "reset":
		if resp := u.n.ingress.Reset(r.Context()); !resp.Status.Success() {
			return "", fmt.Errorf("reset: %s", debugText(resp))
		}
		return "", nil
	case "testcasestart":
		u.n.log.Info("test case begins", "name", argument)
		return "", nil
	case "testcaseend":
		u.n.log.Info("test case ends", "name", argument)
		return "", nil
	case "getconfig":
		return u.config(argument)
	case "enableshortresourceexpiration":
		return u.shortenResources(argument)
	case "disableshortresourceexpiration":
		u.mu.Lock()
		defer u.mu.Unlock()
		u.resourceExpiration = 0
		u.n.ingress.SetPersistence(0)
		return "", nil
	case "enableshortrequestexpiration":
		return u.shortenRequests(argument)
	case "disableshortrequestexpiration":
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.timeout != 0 {
			u.n.ingress.SetTimeout(u.timeout)
			u.timeout = 0
		}
		return "", nil
	case "":
		return "", fmt.Errorf("the request has no command (X-M2M-UTCMD)")
	}
	return "", fmt.Errorf("command %q is not known", name)
}

// shortenResources answers the interval and the longest life of a resource as they were, with a comma between.
func (u *upperTester) shortenResources(argument string) (string, error) {
	d, err := seconds(argument)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.resourceExpiration = max(1, int(d/time.Second))
	u.n.ingress.SetPersistence(d)
	return fmt.Sprintf("%d,%d", checkInterval, u.n.app.Genesis().CSE.MaxLifetime), nil
}

// shortenRequests answers the time that requests without an expiration of their own had, in seconds.
func (u *upperTester) shortenRequests(argument string) (string, error) {
	d, err := seconds(argument)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.n.ingress.SetTimeout(d)
	if u.timeout == 0 {
		u.timeout = old
	}
	return inSeconds(old), nil
}

func seconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f <= 0 || f > maxInterval {
		return 0, fmt.Errorf("%q is no number of seconds over 0 and up to %d", s, maxInterval)
	}
	return time.Duration(f * float64(time.Second)), nil
}

func inSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) }

// config answers a setting by the name that it has in the configuration of the ACME CSE, whose suite asks that way.
func (u *upperTester) config(name string) (string, error) {
	c := &u.n.app.Genesis().CSE
	u.mu.Lock()
	defer u.mu.Unlock()
	switch name {
	case "cse.type":
		return "IN", nil
	case "cse.cseID":
		return c.CSEID, nil
	case "cse.resourceID":
		return c.BaseRI, nil
	case "cse.resourceName":
		return c.Name, nil
	case "cse.originator":
		return c.Admin, nil
	case "cse.serviceProviderID":
		return c.SPID[2:], nil
	case "cse.releaseVersion":
		return c.Release, nil
	case "cse.registration.allowedCSROriginators":
		return strings.Join(c.MayRegister, ","), nil
	case "cse.registration.allowedAEOriginators":
		return "C*,S*,/*/C*,/*/S*", nil
	case "cse.checkExpirationsInterval":
		return strconv.Itoa(checkInterval), nil
	case "cse.maxExpirationDelta":
		return strconv.FormatInt(c.MaxLifetime, 10), nil
	case "cse.requestExpirationDelta":
		return inSeconds(u.n.ingress.Timeout()), nil
	case "cse.enableResourceExpiration", "cse.sortDiscoveredResources":
		return "True", nil
	case "cse.defaultSerialization":
		return "json", nil
	case "resource.req.et":
		if u.resourceExpiration != 0 {
			return strconv.Itoa(u.resourceExpiration), nil
		}
		return inSeconds(u.n.ingress.Timeout()), nil
	}
	return "", fmt.Errorf("setting %q is not known", name)
}
