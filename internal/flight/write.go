package flight

// Write is a request of a run that should not be sent twice.
type Write struct {
	// Commit says that the write is sent now. If it returns false, nobody waits for the run any
	// more, and the write must not be sent.
	Commit func() bool
	// Uncommit says that the write was not carried out: it was not sent, or it was refused. It may
	// be committed again after that.
	Uncommit func(refused bool)
}

// Write returns the run's next write. Uncommit of it changes nothing about an earlier write.
func (r *Run[T, P]) Write() Write {
	r.lock()
	defer r.unlock()
	earlier := r.committed
	return Write{r.commit, func(refused bool) { r.uncommit(earlier, refused) }}
}

func (r *Run[T, P]) commit() bool {
	r.lock()
	defer r.unlock()
	if r.waiting > 0 {
		r.committed = true
		return true
	}
	if r.committed { // an earlier write of the run
		r.abandon()
	}
	return false
}

func (r *Run[T, P]) uncommit(earlier, refused bool) {
	r.lock()
	defer r.unlock()
	r.committed = earlier
	r.refused = r.refused || refused
	if r.waiting == 0 && !earlier {
		r.stop()
	}
}

// Committed reports whether a write of the run may have been carried out.
func (r *Run[T, P]) Committed() bool {
	r.lock()
	defer r.unlock()
	return r.committed
}

// Outcome says what is known of the writes of a run.
type Outcome int

const (
	// NotSent: nothing was sent, and nothing will be.
	NotSent Outcome = iota
	// Rejected: all that was sent was refused, and nothing more will be sent.
	Rejected
	// Unknown: a write may have been carried out, or may still be sent.
	Unknown
)

// Outcome returns what a caller who has left the run can know of its writes. If the run goes on for
// other callers, that is Unknown.
func (r *Run[T, P]) Outcome() Outcome {
	r.lock()
	defer r.unlock()
	switch {
	case r.committed || r.waiting > 0 && !r.over():
		return Unknown
	case r.refused:
		return Rejected
	}
	return NotSent
}
