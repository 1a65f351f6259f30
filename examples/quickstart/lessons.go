package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

// What an error, a retry and a flow look like. The sandbox fails on purpose here.

const whyMasks = `
Names, numbers and login URLs print as ****, so that none of them ends in a log by accident. Reveal returns
the text. Run this with -reveal to see them: the people of the sandbox are invented.`

const whatNext = `
What to try next:
  go run ./examples/quickstart -reveal     the same tour with the texts behind the masks
  go run ./examples/sandbox                both APIs on a port, with a page and lines for curl
  go run ./examples/payout -sandbox        may we pay this person? a decision before a transfer
  go -C examples/connect run .             a small web service that connects accounts
  go doc ./duolinktest                     the fake for the tests of your own program`

// failure shows an error with its kind and its action.
func (t *tour) failure(ctx context.Context) error {
	_, err := t.client.Links.Get(ctx, "dsll_404")
	e, ok := errors.AsType[*duolink.Error](err)
	if !ok {
		return errors.New("the sandbox has a link dsll_404")
	}
	w := t.table("An error", "client.Links.Get", "WHAT", "VALUE")
	t.row(w, "text", e)
	t.row(w, "errors.Is(err, duolink.ErrNotFound)", errors.Is(err, duolink.ErrNotFound))
	t.row(w, "e.Code", e.Code)
	t.row(w, "e.Action()", e.Action())
	return w.Flush()
}

// retry shows a read that the client repeats by itself.
func (t *tour) retry(ctx context.Context) error {
	t.fake.Script(duolinktest.Fault{Operation: "logins.list", Status: 503, RetryAfter: time.Second})
	t.waits = nil
	var response duolink.Response
	if _, err := t.client.Logins.List(ctx, duolink.WithResponse(&response)); err != nil {
		return err
	}
	w := t.table("A retry", "client.Logins.List", "ATTEMPT", "STATUS", "WAIT BEFORE IT")
	for i, a := range response.Attempts {
		waited := "-"
		if i > 0 && i <= len(t.waits) {
			waited = t.waits[i-1].Duration.Round(10*time.Millisecond).String() + ", " + string(t.waits[i-1].Reason)
		}
		t.row(w, a.Number, a.Status, waited)
	}
	return w.Flush()
}

// flow shows CreateOnce: the answer to a create is lost, and there is one link in the end.
func (t *tour) flow(ctx context.Context) error {
	before := t.fake.Count("links.create")
	t.fake.Script(duolinktest.Fault{Operation: "links.create", DropAfter: true})
	link, err := t.client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: t.dataSource}, "job-7")
	if err != nil {
		return err
	}
	again, err := t.client.Links.CreateOnce(ctx, duolink.LoginLinkCreate{DataSourceID: t.dataSource}, "job-7")
	if err != nil {
		return err
	}
	w := t.table("A flow", "client.Links.CreateOnce", "WHAT", "LINK", "DESCRIPTION")
	t.row(w, "the answer was lost, and the link was found", link.ID, link.Description)
	t.row(w, "asked for again", again.ID, again.Description)
	t.row(w, fmt.Sprintf("requests that create: %d", t.fake.Count("links.create")-before), "", "")
	return w.Flush()
}
