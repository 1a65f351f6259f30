package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/duolink/duolink"
)

// state is how far a connection has come.
type state string

const (
	stateWaiting   state = "waiting" // for the person to sign in
	stateConnected state = "connected"
	stateExpired   state = "expired" // nobody has signed in in time
	stateClosed    state = "closed"  // somebody closed the link
	stateRevoked   state = "revoked" // it was connected
)

// connection is one person's attempt to connect one data source, and its state.
type connection struct {
	ID       string
	Session  string // the browser that it belongs to; nobody else sees it
	Source   source
	OnlyUser duolink.Sensitive
	State    state
	LoginID  string

	LinkID   string
	LoginURL duolink.Sensitive // whoever has it can sign in
	Verifier duolink.Sensitive // the redirect must have it
	Expires  time.Time
}

// settle changes the connection's state. A login counts even after the link was closed or has
// expired, because a login that had begun can end late. A revoked connection stays revoked.
func (c *connection) settle(to state, loginID string) {
	switch {
	case c.State == stateRevoked:
	case to == stateConnected:
		c.State, c.LoginID = to, loginID
	case to == stateRevoked && c.State == stateConnected:
		c.State = to
	case c.State == stateWaiting && (to == stateExpired || to == stateClosed):
		c.State = to
	}
}

var (
	errNoConnection = errors.New("no such connection")
	errTaken        = errors.New("the id belongs to another connection")
)

// store keeps connections. A database could have the same methods.
type store interface {
	// Add keeps a new connection. It returns errTaken if there is one with the same id.
	Add(ctx context.Context, c connection) error
	// Get returns a connection of a session. It returns errNoConnection if the session has none
	// with this id.
	Get(ctx context.Context, session, id string) (connection, error)
	// List returns the session's connections, the newest first.
	List(ctx context.Context, session string) ([]connection, error)
	// Update changes a connection while nobody else changes it.
	Update(ctx context.Context, id string, change func(*connection)) error
}

// memory is a store that forgets everything when the process ends. If it grows too large, it
// forgets the oldest connections.
type memory struct {
	most int

	mu    sync.Mutex
	order []string
	byID  map[string]connection
}

func newMemory() *memory { return &memory{most: 10_000, byID: map[string]connection{}} }

func (m *memory) Add(_ context.Context, c connection) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.byID[c.ID]; taken {
		return errTaken
	}
	if len(m.order) >= m.most {
		delete(m.byID, m.order[0])
		m.order = slices.Delete(m.order, 0, 1)
	}
	m.byID[c.ID] = c
	m.order = append(m.order, c.ID)
	return nil
}

func (m *memory) Get(_ context.Context, session, id string) (connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.byID[id]
	if !ok || c.Session != session {
		return connection{}, errNoConnection
	}
	return c, nil
}

func (m *memory) List(_ context.Context, session string) ([]connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []connection
	for _, id := range slices.Backward(m.order) {
		if c := m.byID[id]; c.Session == session {
			list = append(list, c)
		}
	}
	return list, nil
}

func (m *memory) Update(_ context.Context, id string, change func(*connection)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.byID[id]
	if !ok {
		return errNoConnection
	}
	change(&c)
	m.byID[id] = c
	return nil
}
