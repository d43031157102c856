package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/tallystick/tallystick/internal/cse"
	"github.com/tallystick/tallystick/onem2m"
)

// maxIssuedID bounds a Role-ID or Token-ID, in bytes.
const maxIssuedID = 256

// checkRights says why no batch can hold the Role-IDs and Token-IDs of an item.
func checkRights(it *Item) error {
	for _, list := range [...][]string{it.RoleIDs, it.TokenIDs} {
		if len(list) > cse.MaxTokens {
			return fmt.Errorf("%d Role-IDs or tokens, the limit is %d", len(list), cse.MaxTokens)
		}
		for _, id := range list {
			if _, _, ok := onem2m.SplitIssuedID(id); !ok {
				return fmt.Errorf("%.64q, which is no Role-ID or Token-ID", id)
			}
		}
	}
	return nil
}

func sizeOfRights(it *Item) int {
	size := 0
	for _, id := range it.RoleIDs {
		size += 2 + len(id)
	}
	for _, id := range it.TokenIDs {
		size += 2 + len(id)
	}
	return size
}

func appendRights(dst []byte, it *Item) []byte {
	for _, list := range [...][]string{it.RoleIDs, it.TokenIDs} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, id := range list {
			dst = appendString(dst, id)
		}
	}
	return dst
}

// rights reads what appendRights writes.
func (d *decoder) rights(it *Item) {
	for _, list := range [...]*[]string{&it.RoleIDs, &it.TokenIDs} {
		for n := d.uvarint(cse.MaxTokens); n > 0 && d.err == nil; n-- {
			*list = append(*list, d.string(maxIssuedID))
		}
	}
	if d.err != nil {
		return
	}
	if len(it.RoleIDs)+len(it.TokenIDs) == 0 {
		d.fail(errNotShort)
	} else if err := checkRights(it); err != nil {
		d.fail(err)
	}
}
