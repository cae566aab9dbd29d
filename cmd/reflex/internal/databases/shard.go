package databases

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// A Shard is one part of Count; Index counts from 0. The zero Shard is the whole.
type Shard struct{ Index, Count uint64 }

// ParseShard reads "I/N".
func ParseShard(text string) (Shard, error) {
	index, count, _ := strings.Cut(text, "/")
	i, err := strconv.ParseUint(index, 10, 32)
	n, err2 := strconv.ParseUint(count, 10, 32)
	if err != nil || err2 != nil || i >= n {
		return Shard{}, errors.New("a part is I/N, with I from 0 to N-1, such as 0/4")
	}
	return Shard{i, n}, nil
}

// Part are the databases of a shard, in the order of the list.
//
// A database's shard is the first eight bytes of its name's SHA-256, as a
// big-endian number, modulo Count: it does not depend on the rest of the list,
// so that the parts are disjoint, and the whole together.
func Part(list []Database, shard Shard) []Database {
	if shard.Count == 0 {
		return list
	}
	var part []Database
	for _, d := range list {
		sum := sha256.Sum256([]byte(d.Name))
		if binary.BigEndian.Uint64(sum[:8])%shard.Count == shard.Index {
			part = append(part, d)
		}
	}
	return part
}
