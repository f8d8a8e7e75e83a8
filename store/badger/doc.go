// Package badger is the embedded store.Store, on Badger; nothing of Badger is seen outside it.
//
// # On disk
//
// The directory is its owner's alone (0700) and is kept, copied and restored as a whole:
//
//	format      the format version; a newer one is refused
//	lock        locked while a process has the store open; holds its number
//	promises/   Badger, synced: heads, rows, notifications, operations, journals, fleet records, the epoch
//	cache/      Badger, not synced: snapshots and what the last Informs laid over them
//	replaced-…/ the store that was there before a restore
//
// The keys are those of package store (key.go). Both databases survive a killed process as they were. After a power failure
// the cache may lack its last writes, so a head can be newer than the snapshot beside it: who writes both puts into both what
// tells it.
//
// # Writing
//
// Badger syncs once a transaction however many wait, and lets reads wait for transactions under way. Here one goroutine a
// database merges the writes that wait into one transaction, and reads take the newest complete timestamp. Heads of 700 bytes,
// time for each with 1, 16 and 64 writers: 245, 38 and 11 µs; Badger alone 226, 152 and 146 µs. Reading a head takes 2.5 µs,
// also while another goroutine syncs without pause.
//
// Badger writes to mapped files with holes, where a full disk kills the process with SIGBUS (seen on a small tmpfs). So writes
// are refused while there is still room for the holes and for compaction (Options.MinFreeMB). After a failed write nothing more is written until the next start,
// since a sync that failed once may succeed the next time without having written. Ready reports both.
//
// One Write is bounded by what Badger takes as one transaction, 15% of a memtable: 1.2 MB and about 13,000 records of promised
// kinds, 3.7 MB of the cache, by default. Over that it is store.ErrTooBig. What isthmus writes is bounded far below: a snapshot
// of 50,000 parameters is some 0.5 MB. An empty store takes about 3 MB of resident memory; each memtable grows as it fills.
// Tables are mapped, so what was read of them is resident as long as nobody else needs the memory: 5 KB a device after a start. After a storm of
// reads or writes these pages are given back (release).
//
// # One snapshot a device
//
// A device's tree is one compressed record (store.Snapshot), and an Inform's values are a small one laid over it
// (store.Inform), not a record per parameter. Measured in one run on two cores with 300 devices; a real gateway's 795
// parameters, in brackets a synthetic tree of 2,000 (go test -bench Layout):
//
//	                        load a device    update 25       read a device    on disk
//	record per parameter    1.21 ms (2.99)   48 µs (50)      496 µs (890)     50 KB (97)
//	snapshot                0.18 ms (0.33)   275 µs (679)    77 µs (194)      7.7 KB (10)
//	snapshot and overlay    0.18 ms (0.36)   11 µs (11)      94 µs (172)      7.7 KB (10)
//
// The snapshot's encoding: names sorted, of each only what differs from the one before, then the value, then zstd. The real
// tree is 65 KB plain, 17.8 KB so, 7.3 KB with zstd at its fastest level (0.18 ms; default 7.0 KB, 0.18 ms; better 7.0 KB,
// 0.24 ms), decoded in 0.10 ms. Without the prefixes it is 9.4 KB in 0.47 ms. With the names kept once per shape and only the
// values here it would be 3.3 KB in 0.05 ms: worth it should the disk or the cluster's network ever bound the fleet.
//
// # testing/synctest
//
// Open, use and Close work inside a bubble: every goroutine is started by Open, sleeps durably and ends with Close. Reading or
// writing a file stops the bubble's clock only while it lasts. The goroutines' tickers are driven too (Badger's compactors
// every 50 ms), so an hour in a bubble costs about a second. A Store must be closed in the bubble that opened it.
package badger
