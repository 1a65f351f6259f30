package duolink

import (
	"cmp"
	"context"
	"time"

	"github.com/duolink/duolink/internal/wire"
)

// LinksService manages login links at Supermetrics. A login link is a URL that asks somebody to
// authenticate a data source for you. See docs.supermetrics.com/apidocs, "Data source login links".
type LinksService struct{ client *Client }

var (
	linksList   = fullList(endpoint(Supermetrics, "links.list", "GET /ds/login/links", readOnly))
	linksCreate = endpoint(Supermetrics, "links.create", "POST /ds/login/link", notIdempotent)
	linksGet    = endpoint(Supermetrics, "links.get", "GET /ds/login/link/{loginLinkID}", readOnly)
	linksUpdate = endpoint(Supermetrics, "links.update", "PATCH /ds/login/link/{loginLinkID}", idempotent)
	linksClose  = endpoint(Supermetrics, "links.close", "PUT /ds/login/link/{loginLinkID}/close", idempotent)
)

// List returns all login links, at most 1,000.
func (s *LinksService) List(ctx context.Context, opts ...CallOption) ([]LoginLink, error) {
	return call(ctx, s.client, linksList, many[LoginLink], opts)
}

// Create makes a login link.
//
// The request is sent again only after 429, or if provably nothing was sent. After any other
// failure Error.Outcome tells whether there may be a link now. If too many links are open, the
// error is ErrForbidden with CodeLinkLimitExceeded. See
// docs.supermetrics.com/apidocs/create-login-link-1.
func (s *LinksService) Create(ctx context.Context, link LoginLinkCreate, opts ...CallOption) (*LoginLink, error) {
	return call(ctx, s.client, link.operation(noMarker(link.Description)), one[LoginLink], opts)
}

// operation makes the link, unless there is a reason not to.
func (l LoginLinkCreate) operation(invalid error) operation {
	op := linksCreate
	op.body, op.invalid = l.wire(time.Now())
	op.invalid = cmp.Or(invalid, op.invalid)
	op.private = l.private()
	return op
}

// Get returns one login link. An unknown id is ErrNotFound.
func (s *LinksService) Get(ctx context.Context, loginLinkID string, opts ...CallOption) (*LoginLink, error) {
	return call(ctx, s.client, linksGet.on(loginLinkID), one[LoginLink], opts)
}

// Update changes the description of a login link, or clears it if empty. Nothing else can change. If
// the server confirms without showing the link, only the ID of the returned link is set.
func (s *LinksService) Update(
	ctx context.Context, loginLinkID string, update LoginLinkUpdate, opts ...CallOption,
) (*LoginLink, error) {
	op := linksUpdate.on(loginLinkID)
	op.body, op.invalid = update.wire()
	op.private = []string{update.Description, update.Marker}
	return call(ctx, s.client, op, func(s *wire.Scanner) (*LoginLink, error) {
		return readUpdated(s, loginLinkID)
	}, opts)
}

// Close ends a login link, so that nobody can use it any more. If the server confirms without
// showing the link, only the ID of the returned link is set. If the answer does not say that the
// link is closed, the error is ErrMalformedResponse with OutcomeUnknown.
func (s *LinksService) Close(ctx context.Context, loginLinkID string, opts ...CallOption) (*LoginLink, error) {
	return call(ctx, s.client, linksClose.on(loginLinkID), func(s *wire.Scanner) (*LoginLink, error) {
		return readClosed(s, loginLinkID)
	}, opts)
}

// LoginLinkCreate describes a new login link. Set at most one of ExpiresAt, ExpiresIn and Expires.
// Without them the link expires 24 hours after its creation.
type LoginLinkCreate struct {
	DataSourceID    string        // required, such as "GAWA"
	ExpiresAt       time.Time     // after now, by this machine's clock; sent in UTC, to the second
	ExpiresIn       time.Duration // from now by this machine's clock; sent as a time
	Expires         string        // the vendor's own words, such as "10 hours"; at most 50 characters
	Description     string        // for you, not shown to the person; at most 1,000 characters
	RequireUsername string        // only this user of the data source may log in; at most 255 characters
	RedirectURL     string        // where the browser goes after success: http or https; at most 500 characters
}

// private lists the texts that errors must not quote.
func (l LoginLinkCreate) private() []string {
	return []string{l.DataSourceID, l.Expires, l.Description, l.RequireUsername, l.RedirectURL}
}

// LoginLinkUpdate is what can change in a login link.
type LoginLinkUpdate struct {
	Description string // at most 1,000 characters, with the marker
	Marker      string // of the link's CreateOnce, which would not find the link without it
}

const mostDescription = 1000

// updateBody is LoginLinkUpdate as the API takes it. An empty description clears the old one.
type updateBody struct {
	Description string `json:"description"`
}

func (u LoginLinkUpdate) wire() (updateBody, error) {
	err := noMarker(u.Description)
	if err == nil && u.Marker != "" {
		err = checkMarker(u.Marker)
		u.Description = markedDescription(u.Marker, u.Description)
	}
	return updateBody{u.Description}, cmp.Or(err, checkText("Description", u.Description, mostDescription))
}

// loginLinkBody is LoginLinkCreate as the API takes it. Empty members are left out.
type loginLinkBody struct {
	DataSourceID    string `json:"ds_id"`
	ExpiryTime      string `json:"expiry_time,omitempty"`
	Description     string `json:"description,omitempty"`
	RequireUsername string `json:"require_username,omitempty"`
	RedirectURL     string `json:"redirect_url,omitempty"`
}

func (l LoginLinkCreate) wire(now time.Time) (loginLinkBody, error) {
	body := loginLinkBody{
		DataSourceID: l.DataSourceID, Description: l.Description, RequireUsername: l.RequireUsername,
		RedirectURL: l.RedirectURL,
	}
	if err := Supermetrics.checkID("DataSourceID", l.DataSourceID); err != nil {
		return body, err
	}
	for _, field := range []struct {
		name, value string
		most        int
	}{
		{"Description", l.Description, mostDescription},
		{"RequireUsername", l.RequireUsername, 255},
		{"RedirectURL", l.RedirectURL, 500},
		{"Expires", l.Expires, 50},
	} {
		if err := checkText(field.name, field.value, field.most); err != nil {
			return body, err
		}
	}
	if err := checkRedirectURL(l.RedirectURL); err != nil {
		return body, err
	}
	var err error
	body.ExpiryTime, err = l.expiry(now)
	return body, err
}

func (l LoginLinkCreate) expiry(now time.Time) (string, error) {
	at, in, relative := !l.ExpiresAt.IsZero(), l.ExpiresIn != 0, l.Expires != ""
	switch {
	case at && in || in && relative || relative && at:
		return "", argumentError("more than one of ExpiresAt, ExpiresIn and Expires is set")
	case l.ExpiresIn < 0:
		return "", argumentError("ExpiresIn is negative")
	case in:
		// Rounded up to a whole second, so that the link never lives shorter than asked for.
		l.ExpiresAt = now.Add(l.ExpiresIn).Add(time.Second - time.Nanosecond)
	case !at:
		if stated := parseTimestamp(l.Expires); !stated.IsZero() && !stated.After(now) {
			return "", argumentError("Expires is in the past")
		}
		return l.Expires, nil
	}
	if !l.ExpiresAt.After(now) {
		return "", argumentError("ExpiresAt is in the past")
	}
	if year := l.ExpiresAt.UTC().Year(); year < 1 || year > 9999 {
		return "", argumentError("ExpiresAt is not a time that the API can read")
	}
	return l.ExpiresAt.UTC().Format(time.RFC3339), nil
}

// LoginLink is a URL that asks somebody to authenticate a data source, and its state. Whoever has
// LoginURL can log in until the link is closed: give it only to that person.
type LoginLink struct {
	ID               string          `json:"link_id" wire:"required"`
	Status           LoginLinkStatus `json:"status_code" wire:"required"` // from the server, never from the clock
	Description      string          `json:"description"`
	DataSourceID     string          `json:"ds_id"`
	DataSourceName   string          `json:"ds_name"`
	RequireUsername  Sensitive       `json:"require_username"`
	RedirectURL      string          `json:"redirect_url"`
	RedirectVerifier Sensitive       `json:"redirect_verifier"`
	UserID           string          `json:"user_id"` // who made the link
	UserEmail        Sensitive       `json:"user_email"`
	LoginURL         Sensitive       `json:"login_url"`
	CreatedTime      Timestamp       `json:"created_time"`
	ExpiryTime       Timestamp       `json:"expiry_time"`
	LoginID          string          `json:"login_id"` // set once somebody has logged in, whatever the status
	LoginTime        Timestamp       `json:"login_time"`
	LoginUsername    Sensitive       `json:"login_username"`
}

// LoginLinkStatus is the state of a login link. The set is open.
type LoginLinkStatus string

// The states that the vendor documents.
const (
	LoginLinkOpen    LoginLinkStatus = "OPEN"
	LoginLinkClosed  LoginLinkStatus = "CLOSED" // used, or closed by somebody: a used link has a LoginID
	LoginLinkExpired LoginLinkStatus = "EXPIRED"
)

// isOver reports whether nobody can use the link any more.
func (s LoginLinkStatus) isOver() bool { return same(s, LoginLinkClosed) || same(s, LoginLinkExpired) }

// readUpdated reads the link. An empty answer means done.
func readUpdated(s *wire.Scanner, loginLinkID string) (*LoginLink, error) {
	if s.Nothing() {
		return &LoginLink{ID: loginLinkID}, nil
	}
	link, err := one[LoginLink](s)
	if err == nil && link.ID != "" && link.ID != loginLinkID {
		err = errOtherLink
	}
	return link, err
}

const errOtherLink = wire.Unfit("the answer is about another login link")

// readClosed reads what says that the link is closed: an empty answer, {"result": true}, or the link
// itself with a status that says so.
func readClosed(s *wire.Scanner, loginLinkID string) (*LoginLink, error) {
	if s.Nothing() {
		return &LoginLink{ID: loginLinkID}, nil
	}
	link := &LoginLink{}
	result, err := readResult(s, link)
	switch {
	case err != nil:
		return nil, err
	case link.ID != "" && link.ID != loginLinkID:
		return nil, errOtherLink
	case result == resultYes:
		link.ID = loginLinkID
	case result != resultNone || link.ID == "" || !link.Status.isOver():
		return nil, wire.Unfit("the answer does not say that the login link is closed")
	}
	return link, nil
}
