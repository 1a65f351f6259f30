package duolink

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is decoded of one text does not get into another, such as into the text of an error.
func TestTextsAreNotMixed(t *testing.T) {
	const body = `{"error":{"message":"Für dieses Konto ist etwas fehlgeschlagen, bitte erneut versuchen"},` +
		`"data":{"login_id":"x1","username":"j\u00fcrgen.m\u00fcller@example.com"}}`
	_, err := replying(t, 200, body).Logins.Get(t.Context(), "x1")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "müller@example.com")
}
