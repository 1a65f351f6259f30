package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in Go alone

	"github.com/duolink/duolink"
)

// state is how far a connection has come.
type state string

const (
	stateBegun     state = "begun"   // the data source is chosen, and there is no link yet
	stateWaiting   state = "waiting" // for the person to sign in
	stateConnected state = "connected"
	stateExpired   state = "expired" // nobody has signed in in time
	stateClosed    state = "closed"  // somebody closed the link
	stateRevoked   state = "revoked" // it was connected
)

// connection is one person's attempt to connect one data source, and its state.
type connection struct {
	ID       string // also the marker of its login link
	Source   source
	OnlyUser duolink.Sensitive
	State    state
	LoginID  string
	Username duolink.Sensitive // who has signed in

	LinkID   string
	LoginURL duolink.Sensitive // whoever has it can sign in
	Verifier duolink.Sensitive // the redirect must have it
	Expires  time.Time
}

var errNoConnection = errors.New("no such connection")

const (
	// inMemory is the name of a database that ends with the process.
	inMemory = ":memory:"
	// mostConnections bounds the file. If there are more, the oldest are forgotten.
	mostConnections = 10_000
)

const schema = `
CREATE TABLE IF NOT EXISTS connections (
	number            INTEGER PRIMARY KEY, -- in the order in which they began
	id                TEXT NOT NULL UNIQUE,
	session           TEXT NOT NULL,
	source            TEXT NOT NULL,
	only_user         TEXT NOT NULL,
	state             TEXT NOT NULL DEFAULT 'begun',
	link_id           TEXT NOT NULL DEFAULT '',
	login_url         TEXT NOT NULL DEFAULT '',
	redirect_verifier TEXT NOT NULL DEFAULT '',
	expires           INTEGER NOT NULL DEFAULT 0, -- in Unix seconds
	login_id          TEXT NOT NULL DEFAULT '',
	username          TEXT NOT NULL DEFAULT '',
	begun             INTEGER NOT NULL -- in Unix seconds
) STRICT;
CREATE INDEX IF NOT EXISTS connections_of_session ON connections (session, number);`

// store keeps connections in SQLite, so that they survive a restart. Each change is one statement:
// two requests cannot come between each other.
type store struct{ db *sql.DB }

// openStore opens a database, and makes it if there is none.
func openStore(ctx context.Context, path string) (*store, error) {
	if path != inMemory {
		// It holds what is confidential, so nobody else on the machine may read it.
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // -db names it
		if err != nil {
			return nil, err
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)"
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	// One connection: SQLite has one writer, and a second connection to memory is another database.
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &store{db}, nil
}

func (s *store) Close() error { return s.db.Close() }

// owner is how the database names a session. Whoever reads the database cannot make the cookie.
func owner(session string) string {
	sum := sha256.Sum256([]byte(session))
	return hex.EncodeToString(sum[:])
}

// Begin adds a connection of a session. If there is one with this id, it stays as it is. Begin
// returns the one that is kept.
func (s *store) Begin(ctx context.Context, session string, c connection) (connection, error) {
	now := time.Now()
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO connections (id, session, source, only_user, begun) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		c.ID, owner(session), c.Source.ID, c.OnlyUser.Reveal(), now.Unix())
	if err != nil {
		return connection{}, err
	}
	// Nobody can see the connections of a session that has ended.
	_, err = s.db.ExecContext(ctx, `
		DELETE FROM connections WHERE begun < ? OR number <= (SELECT max(number) FROM connections) - ?`,
		now.Add(-sessionLife).Unix(), mostConnections)
	if err != nil {
		return connection{}, err
	}
	return s.Get(ctx, session, c.ID)
}

// SetLink keeps the login link of a connection that has none.
//
// A Sensitive goes into a database only by Reveal: as an argument it is an error, because otherwise
// a mask could be stored, and no redirect would ever have the right verifier. The columns hold the
// open texts, so protect the file like the credentials of the service.
func (s *store) SetLink(ctx context.Context, id string, link *duolink.LoginLink) error {
	expires := int64(0)
	if !link.ExpiryTime.IsZero() {
		expires = link.ExpiryTime.Unix()
	}
	_, err := s.db.ExecContext(ctx, `
		UPDATE connections SET state = 'waiting', link_id = ?, login_url = ?, redirect_verifier = ?, expires = ?
		WHERE id = ? AND state = 'begun'`,
		link.ID, link.LoginURL.Reveal(), link.RedirectVerifier.Reveal(), expires, id)
	return err
}

// Connect keeps the login that a link has led to. A login counts even after the link was closed or
// has expired, because a login that had begun can end late. A revoked connection stays revoked.
func (s *store) Connect(ctx context.Context, id string, link *duolink.LoginLink) error {
	_, err := s.db.ExecContext(ctx, `
		UPDATE connections SET state = 'connected', login_id = ?, username = ? WHERE id = ? AND state <> 'revoked'`,
		link.LoginID, link.LoginUsername.Reveal(), id)
	return err
}

// End keeps the state in which a connection has ended. Only what was connected can be revoked, and
// only what was not can expire or be closed.
func (s *store) End(ctx context.Context, id string, in state) error {
	_, err := s.db.ExecContext(ctx, `
		UPDATE connections SET state = ?1
		WHERE id = ?2 AND CASE ?1 WHEN 'revoked' THEN state = 'connected' ELSE state IN ('begun', 'waiting') END`,
		string(in), id)
	return err
}

// Get returns a connection of a session, or errNoConnection.
func (s *store) Get(ctx context.Context, session, id string) (connection, error) {
	found, err := s.query(ctx, selected+"WHERE session = ? AND id = ?", owner(session), id)
	if err == nil && len(found) == 0 {
		return connection{}, errNoConnection
	}
	if err != nil {
		return connection{}, err
	}
	return found[0], nil
}

// List returns the session's connections, the newest first.
func (s *store) List(ctx context.Context, session string) ([]connection, error) {
	return s.query(ctx, selected+"WHERE session = ? ORDER BY number DESC", owner(session))
}

// All returns every connection, the oldest first.
func (s *store) All(ctx context.Context) ([]connection, error) {
	return s.query(ctx, selected+"ORDER BY number")
}

// selected are the columns that read reads.
const selected = `SELECT id, source, only_user, state, link_id, login_url, redirect_verifier, expires, login_id,
	username FROM connections `

func (s *store) query(ctx context.Context, query string, args ...any) (found []connection, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		c, err := read(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// read reads one row. What is confidential becomes a Sensitive again at once, so that no log and no
// printer shows it from here on. (A Sensitive can be scanned, too: Scan does what NewSensitive does.)
func read(rows *sql.Rows) (connection, error) {
	var (
		c                                      connection
		sourceID                               string
		onlyUser, loginURL, verifier, username string
		expires                                int64
	)
	err := rows.Scan(&c.ID, &sourceID, &onlyUser, &c.State, &c.LinkID, &loginURL, &verifier, &expires, &c.LoginID,
		&username)
	c.OnlyUser, c.Username = duolink.NewSensitive(onlyUser), duolink.NewSensitive(username)
	c.LoginURL, c.Verifier = duolink.NewSensitive(loginURL), duolink.NewSensitive(verifier)
	if expires != 0 {
		c.Expires = time.Unix(expires, 0)
	}
	c.Source = source{ID: sourceID, Name: sourceID}
	if offered, ok := findSource(sourceID); ok {
		c.Source = offered
	}
	return c, err
}
