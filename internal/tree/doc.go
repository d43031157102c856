// Package tree keeps the resource tree of one node in Pebble and serves it as cse.Reader (a committed version) and
// cse.State (the block in progress).
//
// Readings themselves are in the log. The tree keeps, for each container, its counters and a posting list: the log
// positions of its live instances, in chunks of up to 64. Counters and the newest chunk are one record, so a block
// that brings a container any number of instances writes that record once, and one more for each chunk it fills.
//
// A block is built in memory and written as one Pebble batch that is not synced by itself. The consensus engine keeps
// its stores in the same Pebble instance, so a single write-ahead log orders everything, and a block is durable no
// later than the next synced write of either.
//
// After a failure of the store (disk full, I/O error, corruption) every commit is refused, Tree.Err says why and
// Tree.Failed is closed; the process should stop. What was durable before is intact and is found again by Open.
package tree
