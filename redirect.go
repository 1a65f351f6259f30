package duolink

import (
	"context"
	"net/http"
	"net/url"
)

// defaultRedirectParameter names the verifier in the redirect. The vendor does not document the
// name, so there is an option for it.
const defaultRedirectParameter = "redirect_verifier"

// WithRedirectParameter names the query parameter in which the redirect after a login carries its
// verifier, for [LinksService.ConfirmRedirect]. The default is "redirect_verifier".
func WithRedirectParameter(name string) Option {
	return func(cfg *config) error {
		if name == "" {
			return argumentError("WithRedirectParameter: the name is empty")
		}
		cfg.redirectParameter = name
		return nil
	}
}

// ConfirmRedirect decides whether a browser that comes to the RedirectURL comes from a login
// through this link. It returns the link as the server has it now, with its LoginID.
//
// Pass the link that you stored when it was made: only ID and RedirectVerifier are used. To store
// the verifier, use Reveal, and [NewSensitive] to read it back.
//
// Anybody can forge a redirect. If its verifier is missing, empty, wrong or there twice, the error
// is ErrRedirectMismatch, and nothing is sent. The comparison takes constant time. If the verifier
// is right and the link has no login, the error is ErrLoginPending. Await waits for the login.
func (s *LinksService) ConfirmRedirect(
	ctx context.Context, link LoginLink, r *http.Request, opts ...CallOption,
) (*LoginLink, error) {
	op := linksGet.on(link.ID)
	op.name = "links.confirm_redirect"
	if r == nil || r.URL == nil {
		op.invalid = argumentError("the browser's request is nil")
	}
	p, err := s.client.prepare(ctx, op, opts)
	if err != nil {
		return nil, err
	}
	mismatch := p.newError(ErrRedirectMismatch, "")
	mismatch.Outcome = OutcomeNotSent
	switch {
	case link.RedirectVerifier.IsZero():
		mismatch.Message = "the stored link has no RedirectVerifier"
		return nil, mismatch
	case !hasVerifier(r.URL.RawQuery, s.client.config.redirectParameter, link.RedirectVerifier):
		mismatch.Message = "the verifier is not the link's"
		return nil, mismatch
	}
	confirmed, err := s.Get(ctx, link.ID, opts...)
	if err != nil {
		return nil, err
	}
	if confirmed.ID != "" && confirmed.ID != link.ID {
		return nil, p.newError(ErrMalformedResponse, errOtherLink.Error())
	}
	if confirmed.LoginID == "" {
		pending := p.newError(ErrLoginPending, "nobody has logged in yet")
		return nil, pending
	}
	return confirmed, nil
}

// hasVerifier reports whether a query carries the verifier, exactly once.
func hasVerifier(rawQuery, parameter string, verifier Sensitive) bool {
	values, err := url.ParseQuery(rawQuery)
	given := values[parameter]
	return err == nil && len(given) == 1 && !verifier.IsZero() && verifier.Equal(NewSensitive(given[0]))
}
