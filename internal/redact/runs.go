package redact

// runLength is how many characters in a row of a credential are a quotation and not chance.
const runLength = 8

// run is the latest eight bytes of a text.
type run uint64

func (r run) and(c byte) run { return r<<8 | run(c) }

// runs are the runs of credentials, in the form of a view.
type runs struct {
	set map[run]struct{}
	// maybe has a bit for each run, so that most texts need no search in the set.
	maybe []uint64
}

const maybeBits = 14

func newRuns(credentials []string) runs {
	size := 0
	for _, text := range credentials {
		size += max(0, len(text)-runLength+1)
	}
	if size == 0 {
		return runs{}
	}
	return runs{make(map[run]struct{}, size), make([]uint64, 1<<maybeBits/64)}
}

func (r runs) some() bool { return len(r.set) > 0 }

func (r runs) add(text []byte) {
	var last run
	for i, c := range text {
		if last = last.and(c); i+1 >= runLength {
			r.set[last] = struct{}{}
			bit := last.hash()
			r.maybe[bit/64] |= 1 << (bit % 64)
		}
	}
}

func (r runs) has(last run) bool {
	bit := last.hash()
	if r.maybe[bit/64]&(1<<(bit%64)) == 0 {
		return false
	}
	_, ok := r.set[last]
	return ok
}

func (r run) hash() uint64 { return uint64(r) * 0x9e3779b97f4a7c15 >> (64 - maybeBits) }
