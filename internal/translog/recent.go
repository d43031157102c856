package translog

import "sort"

// recent keeps the blocks appended last as they were staged, because readers mostly want the newest records.
type recent struct {
	blocks []*Block
	costs  []int64
	bytes  int64
	limit  int64
}

func blockBytes(b *Block) int64 {
	n := int64(len(b.Records))*recordBytes + int64(len(b.Seeds))*32
	for i := range b.Records {
		n += int64(len(b.Records[i].Payload) + len(b.Records[i].Signed) + len(b.Records[i].Residue))
	}
	return n
}

// recordBytes is about what a Record takes in memory, its strings included, which records mostly share.
const recordBytes = 320

// add appends the block that follows the last one and drops the oldest ones above the limit.
func (r *recent) add(b *Block) {
	cost := blockBytes(b)
	r.blocks, r.costs = append(r.blocks, b), append(r.costs, cost)
	r.bytes += cost
	drop := 0
	for r.bytes > r.limit && drop < len(r.blocks) {
		r.bytes -= r.costs[drop]
		r.blocks[drop] = nil
		drop++
	}
	r.blocks, r.costs = r.blocks[drop:], r.costs[drop:]
}

// block returns the block that holds index, nil when it is not here.
func (r *recent) block(index uint64) *Block {
	if len(r.blocks) == 0 || index < r.blocks[0].First {
		return nil
	}
	i := len(r.blocks) - 1
	if index < r.blocks[i].First {
		i = sort.Search(len(r.blocks), func(i int) bool { return r.blocks[i].First > index }) - 1
	}
	if b := r.blocks[i]; index-b.First < uint64(len(b.Records)) {
		return b
	}
	return nil
}

// record returns the record at index, nil when its block is not here.
func (r *recent) record(index uint64) *Record {
	b := r.block(index)
	if b == nil {
		return nil
	}
	return &b.Records[index-b.First]
}

// forget drops the block that holds index, and all before it.
func (r *recent) forget(index uint64) {
	for len(r.blocks) > 0 && r.blocks[0].First <= index {
		r.bytes -= r.costs[0]
		r.blocks[0] = nil
		r.blocks, r.costs = r.blocks[1:], r.costs[1:]
	}
}

func (r *recent) clear() {
	*r = recent{limit: r.limit}
}
