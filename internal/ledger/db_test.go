package ledger

import (
	"bytes"
	"fmt"
	"testing"

	dbm "github.com/cometbft/cometbft-db"
	"pgregory.net/rapid"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func memPebble(t *testing.T) *pebble.DB {
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: pebbleLogger{discard}})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// walk lists what an iterator gives; an error of the iterator's maker is part of it.
func walk(it dbm.Iterator, err error) string {
	if err != nil {
		return "error"
	}
	defer it.Close()
	s := ""
	for ; it.Valid(); it.Next() {
		s += fmt.Sprintf("%x=%x ", it.Key(), it.Value())
	}
	if it.Error() != nil {
		return "failed"
	}
	start, end := it.Domain()
	return fmt.Sprintf("%s[%x,%x)", s, start, end)
}

// TestStoreLikeMemDB compares with cometbft-db's own database in memory, with neighbours on both sides whose records
// must not show.
func TestStoreLikeMemDB(t *testing.T) {
	db := memPebble(t)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		id := fmt.Sprintf("store%06d-", round) // of one length: none begins another
		s, want := newStore(db, id), dbm.NewMemDB()
		near := []*chainStore{newStore(db, id+"0"), newStore(db, id[:len(id)-1])}
		for _, n := range near {
			if err := n.Set([]byte{0}, []byte("near")); err != nil {
				t.Fatal(err)
			}
			if err := n.Set([]byte{0xff, 0xff}, []byte("near")); err != nil {
				t.Fatal(err)
			}
		}
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, '/', '0', 0xfe, 0xff}), 0, 3)
		bound := rapid.Custom(func(t *rapid.T) []byte {
			if rapid.IntRange(0, 3).Draw(t, "open") == 0 {
				return nil
			}
			return key.Draw(t, "bound")
		})
		value := rapid.Custom(func(t *rapid.T) []byte {
			if rapid.IntRange(0, 9).Draw(t, "nil") == 0 {
				return nil
			}
			return rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "value")
		})
		same := func(what string, a, b error) {
			if (a == nil) != (b == nil) {
				t.Fatalf("%s: %v, want %v", what, a, b)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				same("set", s.Set(k, v), want.Set(k, v))
			},
			"sync": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), value.Draw(t, "v")
				same("set", s.SetSync(k, v), want.SetSync(k, v))
			},
			"delete": func(t *rapid.T) { k := key.Draw(t, "k"); same("delete", s.Delete(k), want.Delete(k)) },
			"batch": func(t *rapid.T) {
				a, b := s.NewBatch(), want.NewBatch()
				for range rapid.IntRange(0, 5).Draw(t, "n") {
					k := key.Draw(t, "k")
					if rapid.Bool().Draw(t, "set") {
						v := value.Draw(t, "v")
						same("batch set", a.Set(k, v), b.Set(k, v))
					} else {
						same("batch delete", a.Delete(k), b.Delete(k))
					}
				}
				if rapid.Bool().Draw(t, "write") {
					same("write", a.Write(), b.WriteSync())
					same("set after write", a.Set([]byte("x"), nil), b.Set([]byte("x"), nil))
					same("write again", a.Write(), b.Write())
				}
				same("close", a.Close(), b.Close())
				same("close again", a.Close(), b.Close())
			},
			"": func(t *rapid.T) {
				k := key.Draw(t, "k")
				v, err := s.Get(k)
				w, werr := want.Get(k)
				same("get", err, werr)
				if !bytes.Equal(v, w) || (v == nil) != (w == nil) {
					t.Fatalf("get %x: %x, want %x", k, v, w)
				}
				has, _ := s.Has(k)
				if has != (w != nil) {
					t.Fatalf("has %x: %v", k, has)
				}
				from, to := bound.Draw(t, "from"), bound.Draw(t, "to")
				if from != nil && to != nil && bytes.Compare(from, to) > 0 {
					from, to = to, from
				}
				if a, b := walk(s.Iterator(from, to)), walk(want.Iterator(from, to)); a != b {
					t.Fatalf("iterate %x to %x: %s, want %s", from, to, a, b)
				}
				if a, b := walk(s.ReverseIterator(from, to)), walk(want.ReverseIterator(from, to)); a != b {
					t.Fatalf("iterate back %x to %x: %s, want %s", from, to, a, b)
				}
			},
		})
	})
}
