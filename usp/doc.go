// Package usp has what every part of TR-369 on the wire needs: Endpoint IDs, the grammar of path names, error codes, the checks
// of a Record and its making, and the retry formula. It knows no transport and no data model.
package usp
