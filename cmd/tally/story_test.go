package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tallystick/tallystick/proof"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tally":   main,
		"request": requestMain,
		"forge":   forgeMain,
		"command": commandMain,
	})
}

// Each file in testdata is one story of what a user does at a terminal, run with the real command.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			port, err := freePort()
			if err != nil {
				return err
			}
			env.Setenv("ADDR", "127.0.0.1:"+port)
			env.Setenv("URL", "http://127.0.0.1:"+port)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"ready":  ready,
			"lines":  lines,
			"within": within,
		},
	})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// exits runs a command and requires an exit code: exits 3 tally verify ...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// ready waits until a node takes requests at $URL.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	url := ts.Getenv("URL") + "/-/checkpoint"
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("no node answers at %s", url)
}

// lines requires that the last command wrote so many lines to stdout or stderr: lines 1 stderr
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines n stdout|stderr")
	}
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	got := 0
	if text != "" {
		got = 1 + strings.Count(text, "\n")
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%d lines on %s, want %s:\n%s", got, args[1], args[0], text)
	}
}

// within waits until a file holds a text: within 10s out.txt 'committed in'
func within(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: within duration file text")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	path := ts.MkAbs(args[1])
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), args[2]) {
			return
		}
	}
	b, _ := os.ReadFile(path)
	ts.Fatalf("%s does not say %q:\n%s", args[1], args[2], b)
}

// requestMain is a small HTTP client for stories: request METHOD URL ORIGINATOR TOKENFILE [TYPE BODY], where TYPE is a
// resource type or a media type. "-" as token file sends no token. It prints X-M2M-RSC and the body.
func requestMain() {
	if err := request(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "request:", err)
		os.Exit(1)
	}
}

func request(args []string) error {
	if len(args) != 4 && len(args) != 6 {
		return errors.New("usage: request METHOD URL ORIGINATOR TOKENFILE [TYPE BODY]")
	}
	var body io.Reader
	if len(args) == 6 {
		body = strings.NewReader(args[5])
	}
	req, err := http.NewRequest(args[0], args[1], body)
	if err != nil {
		return err
	}
	if args[3] != "-" {
		token, err := os.ReadFile(args[3])
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	req.Header.Set("X-M2M-Origin", args[2])
	req.Header.Set("X-M2M-RI", "story")
	req.Header.Set("X-M2M-RVI", "4")
	if body != nil {
		mediaType := args[4]
		if !strings.Contains(mediaType, "/") {
			mediaType = "application/json;ty=" + mediaType
		}
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Printf("%s %s\n", resp.Header.Get("X-M2M-RSC"), bytes.TrimSpace(b))
	return err
}

// commandMain sends a command to the upper tester of a lab: command URL COMMAND. It prints the HTTP status, X-M2M-RSC
// and X-M2M-UTRSP.
func commandMain() {
	req, err := http.NewRequest(http.MethodPost, os.Args[1]+"/__ut__", nil)
	if err == nil {
		req.Header.Set("X-M2M-UTCMD", os.Args[2])
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			fmt.Printf("%d %s [%s]\n", resp.StatusCode, resp.Header.Get("X-M2M-RSC"), resp.Header.Get("X-M2M-UTRSP"))
			return
		}
	}
	fmt.Fprintln(os.Stderr, "command:", err)
	os.Exit(1)
}

// forgeMain changes one part of a proof bundle and keeps the rest canonical: forge PART IN OUT.
func forgeMain() {
	if err := forge(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "forge:", err)
		os.Exit(1)
	}
}

func forge(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: forge PART IN OUT")
	}
	file, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	if args[0] == "file" {
		file[len(file)/2] ^= 1
		return os.WriteFile(args[2], file, 0o644)
	}
	b, err := proof.ParseBundle(file)
	if err != nil {
		return err
	}
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	switch args[0] {
	case "payload":
		flip(b.Payload)
	case "inclusion":
		flip(b.Hashes[0][:])
	case "index":
		b.Index--
	case "checkpoint":
		flip(b.Checkpoint.Root[:])
	case "origin":
		b.Checkpoint.Origin += "x"
	case "quorum":
		for i := range b.Checkpoint.Signatures {
			if !strings.Contains(b.Checkpoint.Signatures[i].Name, "/") {
				flip(b.Checkpoint.Signatures[i].Bytes)
			}
		}
	default:
		return fmt.Errorf("unknown part %q", args[0])
	}
	return os.WriteFile(args[2], b.Marshal(), 0o644)
}
