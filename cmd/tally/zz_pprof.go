package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func init() {
	if f := os.Getenv("TALLY_PROF"); f != "" {
		go func() {
			time.Sleep(12 * time.Second)
			w, _ := os.Create(f)
			pprof.StartCPUProfile(w)
			time.Sleep(10 * time.Second)
			pprof.StopCPUProfile()
			w.Close()
		}()
	}
}
