// Package translate is the bridge: it is the ACS of every CPE (cwmp.Handler) and the DataModel behind every CPE's Agent.
//
// # Who owns what
//
// A Device is one CPE with its Agent. What changes the CPE's side of a Device (head, tree, shape) happens in the CPE's CWMP session,
// of which there is one at most: Begin takes the Inform, Run works off the queue. So a session is the device's loop, and there is
// nothing to run while no session is open. Readers take Device.mu; no lock is held across I/O.
//
// # The flows
//
//   - Inform → Notify: Begin (inform.go) updates head and tree, raises what the events mean through agent.Agent.Raise, which has it on
//     disk before the InformResponse goes out.
//   - Get: Read (read.go) plans what is too old, asks for it with do (queue.go) and renders through the view.
//   - Set, Add, Delete, Operate: one file each; do queues them, FIFO.
//   - do: an open session takes the work; else a Connection Request asks for one. A job whose deadline passes in the queue is
//     removed and never runs.
//
// # Names
//
// Tree, shape, snapshot and journal hold the CPE's own names. Everything the Agent sees are Device:2 names. A View (view.go) is the
// only thing that knows both.
package translate
