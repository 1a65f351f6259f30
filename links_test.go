package duolink

import (
	"context"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

func sampleLoginLink() LoginLink {
	return LoginLink{
		ID:               "dsll_1",
		Status:           LoginLinkClosed,
		Description:      "Onboarding of Sample Store",
		DataSourceID:     "GAWA",
		DataSourceName:   "Google Analytics 4",
		RequireUsername:  avery,
		RedirectURL:      "https://app.example.com/connected",
		RedirectVerifier: NewSensitive("example-verifier-0001"),
		UserID:           "usr_1",
		UserEmail:        blake,
		LoginURL:         NewSensitive("https://login.example.com/link/example-login-url-0001"),
		CreatedTime:      stamp("2026-04-06T10:59:04+00:00"),
		ExpiryTime:       stamp("2026-04-07T10:59:04+00:00"),
		LoginID:          "dsl_1",
		LoginTime:        stamp("2026-04-06T11:07:42+00:00"),
		LoginUsername:    avery,
	}
}

// linkChecks are the checks of the four operations that return one login link. more adds and
// replaces checks.
func linkChecks(
	status LoginLinkStatus, description string, more map[string]check[*LoginLink],
) map[string]check[*LoginLink] {
	sample := sampleLoginLink()
	sample.Status, sample.Description = status, description
	all := map[string]check[*LoginLink]{
		"sample.json": func(t *testing.T, got *LoginLink, err error) {
			is(&sample)(t, got, err)
			require.Equal(t, "https://login.example.com/link/example-login-url-0001", got.LoginURL.Reveal())
			require.Equal(t, "example-verifier-0001", got.RedirectVerifier.Reveal())
			require.Equal(t, "blake.example@example.com", got.UserEmail.Reveal())
			require.Equal(t, "avery.sample@example.com", got.LoginUsername.Reveal())
		},
		"absent.json":      is(&LoginLink{ID: "dsll_1"}),
		"null.json":        is(&LoginLink{ID: "dsll_1", Status: status, DataSourceID: "GAWA", UserID: "usr_1"}),
		"data_absent.json": malformed[*LoginLink]("EXAMPLEREQ_data_absent_0001"),
		"data_null.json":   malformed[*LoginLink]("EXAMPLEREQ_data_null_0001"),
		"timestamps_fraction.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2026-01-01T00:00:00.123Z"),
			ExpiryTime:  stamp("2026-01-01T00:00:00.123456+00:00"),
			LoginTime:   stamp("2026-01-01T02:00:00.5+02:00", "2026-01-01T00:00:00.5Z"),
		}),
		"timestamps_offset.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2021-10-22T11:47:16+00:00"),
			ExpiryTime:  stamp("2026-04-06T10:59:04+0000", "2026-04-06T10:59:04Z"),
			LoginTime:   stamp("2026-01-01T00:00:00Z"),
		}),
		"timestamps_zoneless.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: stamp("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
			ExpiryTime:  stamp("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
			LoginTime:   stamp("2026-01-01", "2026-01-01T00:00:00Z"),
		}),
		"timestamps_unreadable.json": is(&LoginLink{
			ID:          "dsll_1",
			CreatedTime: unreadable("0000-00-00 00:00:00"),
			ExpiryTime:  unreadable("1767225600"),
		}),
		"unknown.json": is(&LoginLink{
			ID:               "dsll_1",
			Status:           "PAUSED",
			Description:      "7",
			DataSourceID:     "GAWA",
			RedirectURL:      "https://app.example.com/connected",
			RedirectVerifier: NewSensitive("example-verifier-0001"),
			UserID:           "usr_1",
			LoginURL:         NewSensitive("https://login.example.com/link/example-login-url-0001"),
			CreatedTime:      stamp("2026-04-06T10:59:04+00:00"),
			LoginUsername:    blakes,
		}),
	}
	maps.Copy(all, more)
	return all
}

func TestGoldenLinksCreate(t *testing.T) {
	fresh := sampleLoginLink()
	fresh.Status, fresh.RequireUsername = LoginLinkOpen, Sensitive{}
	fresh.LoginID, fresh.LoginTime, fresh.LoginUsername = "", Timestamp{}, Sensitive{}
	goldens(t, "links.create", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Create(ctx, LoginLinkCreate{DataSourceID: "GAWA"})
	}, linkChecks(LoginLinkOpen, "Onboarding of Sample Store", map[string]check[*LoginLink]{"fresh.json": is(&fresh)}))
}

func TestGoldenLinksGet(t *testing.T) {
	checks := linkChecks(LoginLinkClosed, "Onboarding of Sample Store", map[string]check[*LoginLink]{
		"null.json": is(&LoginLink{ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", UserID: "usr_1"}),
		"error_on_200.json": func(t *testing.T, got *LoginLink, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrServer)
			e := asError(t, err)
			require.Equal(t, CodeInternalServerError, e.Code)
			require.Equal(t, "Something went wrong", e.Message)
			require.Equal(t, "The link could not be read. Try again later.", e.Description)
			require.Equal(t, "EXAMPLEREQ_links_get_0002", e.RequestID)
			require.Equal(t, 200, e.StatusCode)
		},
		"error_flat_on_200.json": func(t *testing.T, got *LoginLink, err error) {
			require.Nil(t, got)
			require.ErrorIs(t, err, ErrNotFound)
			e := asError(t, err)
			require.Equal(t, CodeLinkNotFound, e.Code)
			require.Equal(t, "Login link not found", e.Message)
			require.Equal(t, 200, e.StatusCode)
		},
	})
	goldens(t, "links.get", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Get(ctx, "dsll_1")
	}, checks)
}

func TestGoldenLinksUpdate(t *testing.T) {
	goldens(t, "links.update", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Update(ctx, "dsll_1", LoginLinkUpdate{Description: "A new description"})
	}, linkChecks(LoginLinkOpen, "A new description", map[string]check[*LoginLink]{
		"cleared.json": is(&LoginLink{
			ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", DataSourceName: "Google Analytics 4",
		}),
	}))
}

func TestGoldenLinksClose(t *testing.T) {
	confirmed := is(&LoginLink{ID: "dsll_1"})
	checks := linkChecks(LoginLinkClosed, "Onboarding of Sample Store", map[string]check[*LoginLink]{
		"empty.json":  confirmed,
		"result.json": confirmed,
		// None of these says that the link is closed.
		"absent.json":      malformed[*LoginLink](""),
		"data_absent.json": malformed[*LoginLink]("EXAMPLEREQ_links_close_0002"),
		"unknown.json":     malformed[*LoginLink]("EXAMPLEREQ_links_close_unknown"),
	})
	for _, elsewhere := range []string{
		"data_null.json", "timestamps_fraction.json", "timestamps_offset.json", "timestamps_unreadable.json",
		"timestamps_zoneless.json",
	} {
		delete(checks, elsewhere)
	}
	goldens(t, "links.close", func(ctx context.Context, c *Client) (*LoginLink, error) {
		return c.Links.Close(ctx, "dsll_1")
	}, checks)
}

func TestGoldenLinksList(t *testing.T) {
	second := LoginLink{
		ID: "dsll_2", Status: LoginLinkOpen, DataSourceID: "FA", DataSourceName: "Facebook Ads",
		RedirectURL:      "https://app.example.com/connected?tenant=7",
		RedirectVerifier: NewSensitive("example-verifier-0002"),
		UserID:           "usr_1", UserEmail: blake,
		LoginURL:    NewSensitive("https://login.example.com/link/example-login-url-0002"),
		CreatedTime: stamp("2026-04-06T12:00:00+00:00"), ExpiryTime: stamp("2026-04-06T22:00:00+00:00"),
	}
	third := LoginLink{
		ID: "dsll_3", Status: LoginLinkExpired, Description: "Never used", DataSourceID: "AW",
		DataSourceName:   "Google Ads",
		RedirectVerifier: NewSensitive("example-verifier-0003"),
		UserID:           "usr_2", UserEmail: casey,
		LoginURL:    NewSensitive("https://login.example.com/link/example-login-url-0003"),
		CreatedTime: stamp("2021-10-22T11:47:16+00:00"), ExpiryTime: stamp("2021-10-23T11:47:16+00:00"),
	}
	paused := sampleLoginLink()
	paused.Status, paused.RequireUsername = "PAUSED", Sensitive{}
	paused.LoginID, paused.LoginTime, paused.LoginUsername = "", Timestamp{}, Sensitive{}
	goldens(t, "links.list", func(ctx context.Context, c *Client) ([]LoginLink, error) {
		return c.Links.List(ctx)
	}, map[string]check[[]LoginLink]{
		"sample.json": is([]LoginLink{sampleLoginLink(), second, third}),
		"absent.json": is([]LoginLink{{ID: "dsll_1"}, {}}),
		"null.json": is([]LoginLink{
			{ID: "dsll_1", Status: LoginLinkOpen, DataSourceID: "GAWA", UserID: "usr_1"}, {ID: "dsll_2"},
		}),
		"data_absent.json": malformed[[]LoginLink]("EXAMPLEREQ_links_list_0005"),
		"data_null.json":   noItems[LoginLink],
		"timestamps.json": func(t *testing.T, got []LoginLink, err error) {
			require.NoError(t, err)
			require.Len(t, got, len(notations))
			for _, l := range got {
				require.Contains(t, notations, l.ID)
				sameStamps(t, notations[l.ID], l.CreatedTime, l.ExpiryTime, l.LoginTime)
			}
		},
		"unknown.json": is([]LoginLink{
			paused,
			{ID: "dsll_2", Status: LoginLinkOpen, Description: "7", DataSourceID: "FA", UserID: "1",
				LoginUsername: blakes},
			{
				ID: "dsll_3", Status: LoginLinkExpired, Description: "Never used", DataSourceID: "AW",
				DataSourceName: "Google Ads",
			},
		}),
	})
}
