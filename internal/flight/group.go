package flight

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Key names a run without showing what it is made of. It is a full hash, because one tenant must
// not be able to make the key of another.
type Key [sha256.Size]byte

// KeyOf returns the key of all callers who want the same.
func KeyOf(wants ...string) Key { return sha256.Sum256(fmt.Appendf(nil, "%q", wants)) }

// Work is what a run does, on the run's context. It writes its result into the run's Result.
type Work[T, P any] func(ctx context.Context, r *Run[T, P]) error

// Group has runs of one kind, by key. T is their result, and P is their progress.
type Group[T, P any] struct {
	unattended *Unattended
	running    map[Key]*Run[T, P]
}

// NewGroup returns a group. Its runs are counted in this list if nobody waits for them. Groups may
// share a list.
func NewGroup[T, P any](list *Unattended) *Group[T, P] {
	return &Group[T, P]{list, map[Key]*Run[T, P]{}}
}

// Join waits for the run under this key, and starts it if there is none. Progress reaches each
// caller on the caller's own goroutine. An error is the context's error: the caller has given up.
func (g *Group[T, P]) Join(
	ctx context.Context, key Key, work Work[T, P], progress func(P),
) (*Run[T, P], error) {
	r, err := g.Hold(ctx, key, work, progress)
	if err == nil {
		r.Leave()
	}
	return r, err
}

// Hold is Join for a caller who still needs the run after its end. The caller counts as waiting
// until it calls Leave. Until the first caller has left, others can still join the run.
func (g *Group[T, P]) Hold(
	ctx context.Context, key Key, work Work[T, P], progress func(P),
) (*Run[T, P], error) {
	if err := ctx.Err(); err != nil {
		return &Run[T, P]{group: g}, err
	}
	r, changed := g.enter(ctx, key, work)
	return r, r.wait(ctx, changed, progress)
}

func (g *Group[T, P]) enter(ctx context.Context, key Key, work Work[T, P]) (*Run[T, P], chan struct{}) {
	g.unattended.mu.Lock()
	defer g.unattended.mu.Unlock()
	r := g.running[key]
	if r == nil {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // the run's end calls cancel
		r = &Run[T, P]{
			group: g, key: key, cancel: cancel,
			done: make(chan struct{}), changed: make(chan struct{}),
		}
		g.running[key] = r
		g.unattended.Go.start(own, func(ctx context.Context) { r.fly(ctx, work) })
	}
	r.attend()
	r.abandoned = 0
	r.waiting++
	return r, r.changed
}

// Running returns how many runs can be joined.
func (g *Group[T, P]) Running() int {
	g.unattended.mu.Lock()
	defer g.unattended.mu.Unlock()
	return len(g.running)
}

// How long a run with a committed write goes on if nobody waits for it, and how many such runs a
// list has.
const (
	LongestUnattended = 10 * time.Minute
	MostUnattended    = 100
)

// Unattended is a list of runs that nobody waits for, in the order in which they were left. The
// zero value is empty and ready.
type Unattended struct {
	Go Starter // of all runs of the groups, or nil

	mu      sync.Mutex // guards what changes in all runs of the groups
	runs    []abandoner
	givenUp bool // GiveUp was called
}

// Starter starts work on a goroutine of its own, and may end the work's context before its time.
type Starter func(ctx context.Context, work func(context.Context))

func (s Starter) start(ctx context.Context, work func(context.Context)) {
	if s == nil {
		go work(ctx)
		return
	}
	s(ctx, work)
}

type abandoner interface {
	abandon()
	giveUp()
}

// GiveUp says that nobody will come back to the runs, also to those that are left later. They go on
// until they notice, and are told to OnAbandoned if they have not finished then.
func (u *Unattended) GiveUp() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.givenUp = true
	for _, r := range u.runs {
		r.giveUp()
	}
}

// Len returns how many runs nobody waits for.
func (u *Unattended) Len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.runs)
}

// add puts a run at the end of the list. The mutex is held, as it is in remove.
func (u *Unattended) add(r abandoner) {
	if u.runs = append(u.runs, r); len(u.runs) > MostUnattended {
		u.runs[0].abandon()
	}
}

func (u *Unattended) remove(r abandoner) {
	u.runs = slices.DeleteFunc(u.runs, func(other abandoner) bool { return other == r })
}
