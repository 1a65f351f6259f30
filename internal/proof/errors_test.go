package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/stretchr/testify/require"
)

// asError is the package's error in err, which has to be one.
func asError(t *testing.T, err error) *duolink.Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*duolink.Error](err)
	require.Truef(t, ok, "%T is no *Error", err)
	return e
}

var kinds = []error{
	duolink.ErrBadRequest, duolink.ErrUnauthorized, duolink.ErrForbidden, duolink.ErrNotFound, duolink.ErrDeleted,
	duolink.ErrConflict, duolink.ErrValidation, duolink.ErrBankLinkState, duolink.ErrRateLimited, duolink.ErrServer,
	duolink.ErrArgument, duolink.ErrNotConfigured, duolink.ErrMalformedResponse, duolink.ErrResponseTooLarge,
	duolink.ErrLoginLinkClosed, duolink.ErrLoginLinkExpired, duolink.ErrLoginPending, duolink.ErrRedirectMismatch,
	duolink.ErrRefreshPending, duolink.ErrRefreshFailed, duolink.ErrProductUnavailable,
}

// wrapper is somebody else's error.
type wrapper struct{ inner error }

func (w wrapper) Error() string { return "wrapped" }

func (w wrapper) Unwrap() error { return w.inner }

// kindIs expects one kind and no other, at the surface and under three layers.
func kindIs(t *testing.T, err, kind error) {
	t.Helper()
	wrapped := error(wrapper{errors.Join(errors.New("another"), fmt.Errorf("context: %w", err))})
	for _, k := range kinds {
		require.Equalf(t, k == kind, errors.Is(err, k), "%v: is it %v?", err, k)
		require.Equalf(t, k == kind, errors.Is(wrapped, k), "%v, wrapped: is it %v?", err, k)
	}
	require.Same(t, asError(t, err), asError(t, wrapped))
}

// oneLine expects the text of an error to be short, on one line, and without anything of where it
// came from.
func oneLine(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.LessOrEqual(t, len(text), 300)
	require.NotContains(t, text, "\n")
	for _, never := range []string{
		"http://", "https://", "api.supermetrics.com", "api.moneykit.com", "/ds/", "/links/", "<html", "{", "?",
	} {
		require.NotContains(t, text, never)
	}
	for _, r := range text {
		require.Truef(t, r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0), "%q in %q", r, text)
	}
}

// printed are the forms in which an error may get into a log.
func printed(err error) []string {
	all := []string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		all = append(all, fmt.Sprintf(verb, err), fmt.Sprintf(verb, struct{ Err error }{err}))
	}
	if e, ok := err.(*duolink.Error); ok { //nolint:errorlint // what is wrapped prints itself
		all = append(all, fmt.Sprintf("%+v", *e), e.LogValue().String())
	}
	j, _ := json.Marshal(err)
	return append(all, string(j))
}

// logged are the forms in which slog writes an error.
func logged(err error) []string {
	var text, jsonText strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Error("failed", "err", err)
	slog.New(slog.NewJSONHandler(&jsonText, nil)).Error("failed", "err", err, "wrapped", fmt.Errorf("context: %w", err))
	return []string{text.String(), jsonText.String()}
}

// carrier is an error with something in it.
type carrier[T any] struct{ Value T }

func (c carrier[T]) Error() string { return fmt.Sprintf("carrier of %v", c.Value) }

// inLog is a record as slog's own handlers write it.
func inLog(args ...any) []string {
	var text, object strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", args...)
	slog.New(slog.NewJSONHandler(&object, nil)).With(args...).Info("m", args...)
	return []string{text.String(), object.String()}
}
