package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// crowdJob tells a process how to trouble a broker.
type crowdJob struct {
	Addr  string `json:"addr"`
	Token string `json:"token"`
	Idle  int    `json:"idle"` // connections that are opened and then do nothing
	Rate  int    `json:"rate"` // CONNECTs a second that are refused
}

// crowd starts a crowd, and returns when all idle connections are open, or the flood has begun.
func (p *Program) crowd(ctx context.Context, job crowdJob) (*server, error) {
	text, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	return p.reference(ctx, RoleCrowd+":"+string(text))
}

// runCrowd is the process of a crowd. It prints a line when it is complete and ends when in does.
func runCrowd(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var job crowdJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var idle sync.WaitGroup
	failed := make(chan error, 1)
	const workers = 16
	for w := range workers {
		idle.Go(func() {
			for i := w; i < job.Idle; i += workers {
				c, err := net.Dial("tcp", job.Addr)
				if err == nil {
					_, err = c.Write(appendConnect(nil, fmt.Sprint("idle-", i), "", job.Token))
				}
				if err == nil {
					_, err = readAck(c, 0x20)
				}
				if err != nil {
					select {
					case failed <- fmt.Errorf("idle client %d: %w", i, err):
					default:
					}
					return
				}
				context.AfterFunc(ctx, func() { c.Close() })
			}
		})
	}
	idle.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Fprintln(out, "ready")
	if job.Rate > 0 {
		go flood(ctx, job)
	}
	io.Copy(io.Discard, in)
	return nil
}

// flood sends CONNECTs with a token that nobody has.
func flood(ctx context.Context, job crowdJob) {
	hello := appendConnect(nil, "flood", "", strings.Repeat("x", 50))
	const perTick = 10
	tick := time.NewTicker(time.Second * perTick / time.Duration(job.Rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range perTick {
			go func() {
				c, err := net.DialTimeout("tcp", job.Addr, time.Second)
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(5 * time.Second))
				c.Write(hello)
				io.Copy(io.Discard, c)
			}()
		}
	}
}
