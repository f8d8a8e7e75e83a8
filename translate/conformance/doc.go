// Package conformance holds the cases of the Broadband Forum's conformance test plan for USP Agents (TP-469 1.4.0) that apply to a
// proxied device, as tests: a Controller and an Agent that stands for a simulated CPE, with real WebSockets, CWMP sessions and a store
// on disk between them. Cases that can touch a table, a parameter or a command of the CPE run there as well as in Device.LocalAgent.
//
// CONFORMANCE.md at the root of the repository lists every case with its result; `go test ./translate/conformance -update` writes it.
package conformance
