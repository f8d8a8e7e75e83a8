package translate

import (
	"runtime/debug"
	"time"
)

const (
	idleTree   = 20 * time.Second // how long an unused tree stays in memory
	maxWarm    = 1024             // trees in memory; beyond it one is dropped as soon as its session ends
	sweepEvery = 5 * time.Second
)

// loaded notes that a device holds a tree. d.mu is held.
func (p *Proxy) loaded(d *Device) {
	p.mu.Lock()
	p.warm[d] = struct{}{}
	p.mu.Unlock()
}

// unloaded notes that a device holds no tree any more. d.mu is held.
func (p *Proxy) unloaded(d *Device) {
	p.mu.Lock()
	delete(p.warm, d)
	p.mu.Unlock()
}

// sweep unloads what idle devices hold, and gives the memory of a storm back to the system once it is over.
func (p *Proxy) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	cooled, settling := 0, 0
	if p.Len() >= stormTrees { // to read what they are and to connect them is a storm, too
		settling = 1 + stormSettles
	}
	for n := 1; ; n++ {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		p.overdue(time.Now())
		p.askAgain(time.Now())
		for _, d := range p.dueSessions(time.Now()) {
			d.ask()
		}
		before := p.warmDevices()
		for _, d := range before {
			d.unload(p.ctx, idleTree)
		}
		left := len(p.warmDevices())
		cooled += len(before) - left
		if n%unloadAgents == 0 || n == startSettles && settling > 0 {
			p.unloadAgents()
			if settling > 0 {
				debug.FreeOSMemory()
				settling--
			}
		}
		if cooled >= stormTrees && left < stormTrees {
			debug.FreeOSMemory()
			cooled, settling = 0, stormSettles
		}
	}
}

const (
	unloadAgents = 12  // sweeps between two rounds over all Agents
	stormTrees   = 512 // trees that were dropped: worth a collection that gives their memory back
	startSettles = 3   // sweeps after a start until a collection is worth it
	stormSettles = 2   // collections after that one: a goroutine's stack shrinks by half at each
)

// unloadAgents has every Agent drop the rows it does not need in memory, and every Device fall asleep that may.
func (p *Proxy) unloadAgents() {
	for _, d := range p.all() {
		if p.ctx.Err() != nil {
			return
		}
		d.agent.Unload()
		d.nap()
	}
}

// crowded says whether more trees are in memory than should be.
func (p *Proxy) crowded() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.warm) > maxWarm
}

func (p *Proxy) warmDevices() []*Device {
	p.mu.RLock()
	defer p.mu.RUnlock()
	ds := make([]*Device, 0, len(p.warm))
	for d := range p.warm {
		ds = append(ds, d)
	}
	return ds
}
