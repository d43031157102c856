package tree

import "iter"

// AuxNames lists the names of aux records that begin with prefix and come after after, in order. after need not be one
// of them; "" is before all.
func (r *View) AuxNames(prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lower := appendKey(nil, spaceAux, prefix)
		if after >= prefix {
			lower = append(appendKey(nil, spaceAux, after), 0)
		}
		it, err := r.v.iterate(lower, successor(appendKey(nil, spaceAux, prefix)))
		if err != nil {
			yield("", err)
			return
		}
		for it.First(); it.Valid(); it.Next() {
			if !yield(string(it.Key()[2:]), nil) {
				_ = it.Close() // nothing more is read, so nothing can be missing
				return
			}
		}
		if err := it.Close(); err != nil {
			yield("", readError(lower, err))
		}
	}
}
