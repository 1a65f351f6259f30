package consumer

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // another connection would have another database
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), `CREATE TABLE links (id TEXT PRIMARY KEY, verifier TEXT);
		CREATE TABLE documents (id TEXT PRIMARY KEY, document TEXT)`)
	require.NoError(t, err)
	return db
}

func storeColumns(ctx context.Context, db *sql.DB, link *duolink.LoginLink) (again duolink.LoginLink, err error) {
	verifier := link.RedirectVerifier.Reveal()
	if _, err := db.ExecContext(ctx, "INSERT INTO links VALUES (?, ?)", link.ID, verifier); err != nil {
		return again, err
	}
	row := db.QueryRowContext(ctx, "SELECT id, verifier FROM links WHERE id = ?", link.ID)
	err = row.Scan(&again.ID, &again.RedirectVerifier)
	return again, err
}

func storeDocument(ctx context.Context, db *sql.DB, link *duolink.LoginLink) (again duolink.LoginLink, err error) {
	document, err := duolink.RevealJSON(link)
	if err != nil {
		return again, err
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO documents VALUES (?, ?)", link.ID, document); err != nil {
		return again, err
	}
	row := db.QueryRowContext(ctx, "SELECT document FROM documents WHERE id = ?", link.ID)
	if err := row.Scan(&document); err != nil {
		return again, err
	}
	err = json.Unmarshal(document, &again)
	return again, err
}

// An answer is stored in columns or as a document, and is equal when it is read back.
func TestStoredInSQLite(t *testing.T) {
	db := database(t)
	link, err := duolinktest.New(t).Client().Links.Get(t.Context(), duolinktest.OpenLoginLinkID)
	require.NoError(t, err)
	again, err := storeColumns(t.Context(), db, link)
	require.NoError(t, err)
	require.Equal(t, link.RedirectVerifier, again.RedirectVerifier)
	again, err = storeDocument(t.Context(), db, link)
	require.NoError(t, err)
	require.Equal(t, *link, again)
}

// A database refuses what is not revealed, and says what to do.
func TestRefusedBySQLite(t *testing.T) {
	db := database(t)
	for name, value := range map[string]any{
		"Sensitive": duolink.NewSensitive("Avery Sample"), "Secret": query.AccessToken, "zero": duolink.Sensitive{},
		"pointer": new(duolink.NewSensitive("Avery Sample")), "masked": duolink.Masked(query),
	} {
		_, err := db.ExecContext(t.Context(), "INSERT INTO links VALUES (?, ?)", name, value)
		require.ErrorContains(t, err, "Reveal", name)
		silent(t, name, err.Error())
	}
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM links").Scan(&n))
	require.Zero(t, n)
	var absent duolink.Sensitive
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT NULL").Scan(&absent))
	require.True(t, absent.IsZero())
	require.ErrorContains(t, db.QueryRowContext(t.Context(), "SELECT 123").Scan(&absent), "not a text")
}

// pgx refuses the same, in every format and for every type of column. It takes what is revealed.
func TestPgx(t *testing.T) {
	m := pgtype.NewMap()
	columns := map[string]uint32{
		"text": pgtype.TextOID, "varchar": pgtype.VarcharOID, "json": pgtype.JSONOID, "jsonb": pgtype.JSONBOID,
		"bytea": pgtype.ByteaOID, "unknown": pgtype.UnknownOID, "no type": 0,
	}
	answers := answers(t)
	for column, oid := range columns {
		for _, format := range []int16{pgtype.TextFormatCode, pgtype.BinaryFormatCode} {
			for name, value := range map[string]any{
				"Sensitive": duolink.NewSensitive("Avery Sample"), "Secret": query.AccessToken,
				"pointer": new(duolink.NewSensitive("Avery Sample")), "masked": duolink.Masked(query),
				"answer": answers["identity"],
			} {
				buf, err := m.Encode(oid, format, value, nil)
				require.Error(t, err, "%s as %s: %s", name, column, buf)
				silent(t, name, err.Error()+string(buf))
				if name != "answer" || oid == pgtype.JSONOID || oid == pgtype.JSONBOID {
					require.ErrorContains(t, err, "Reveal", "%s as %s", name, column)
				}
			}
		}
	}
	document, err := duolink.RevealJSON(answers["identity"])
	require.NoError(t, err)
	buf, err := m.Encode(pgtype.JSONBOID, pgtype.TextFormatCode, document, nil)
	require.NoError(t, err)
	require.Contains(t, string(buf), "Avery Sample")

	var verifier duolink.Sensitive
	require.NoError(t, m.Scan(pgtype.TextOID, pgtype.TextFormatCode, []byte("v3r1f13r"), &verifier))
	require.Equal(t, "v3r1f13r", verifier.Reveal())
	require.NoError(t, m.Scan(pgtype.TextOID, pgtype.TextFormatCode, nil, &verifier))
	require.True(t, verifier.IsZero())
}
