package main

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// startGC is by how much the heap grows from one collection to the next while a fleet is read and connected, in per cent: what stays is made among
	// much that does not, and would keep all the pages of that.
	startGC = 25
	// startTime is how long that goes on once it is read.
	startTime = 15 * time.Second
)

// collectOften has garbage collected often until usual is called; whoever has set GOGC lower, or off, has it as it is.
func collectOften() (usual func()) {
	before := debug.SetGCPercent(startGC)
	usual = sync.OnceFunc(func() { debug.SetGCPercent(before) })
	if before < startGC {
		usual()
	}
	return usual
}
