package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/duolink/duolink/internal/bench/answers"
)

// Case is one payload, and the clients that ask for it. The first client is the floor.
type Case struct {
	Name    string // as the tables say it
	Clients []Client
	Calls   int // of each client in each round
	Callers int // at the same time
}

// Client is one client of one payload.
type Client struct {
	Name string
	Call func(context.Context) (any, error)
	// Plain turns an answer into the floor's type, so that the two can be compared.
	Plain func(answer any) (any, error)
}

// Cases are all cases at a server.
//
// A small call is measured with several callers at a time, as in a service. With one caller most of
// the time is what the machine takes to wake up, so there is one such case for comparison.
func Cases(base string) []Case {
	const callers = 16
	auth := func(name, payload string, calls, callers int) Case {
		clients := append(floors[answers.AuthAnswer](base, payload, ""),
			duolinkAuth(base, payload), plaidAuth(base, payload))
		return Case{name, clients, calls, callers}
	}
	links := func(name, suffix string) Case {
		clients := append(floors[answers.LinksAnswer](base, Links1000, suffix),
			duolinkLinks(base, suffix), oapiLinks(base, suffix), ogenLinks(base, suffix))
		return Case{name, clients, 30, 1}
	}
	return []Case{
		auth(SmallAuth, Auth3, 6000, callers),
		auth("the same, one caller", Auth3, 2000, 1),
		{
			SmallIdentity,
			append(floors[answers.IdentityAnswer](base, Identity2, ""), duolinkIdentity(base)), 6000, callers,
		},
		auth(LargeAuth, Auth500, 60, 1),
		links(LoginLinks, ""),
		links("the same, with gzip", "-gzip"),
		{
			Accounts, append(floors[answers.AccountsAnswer](base, Accounts100k, ""), duolinkAccounts(base),
				duolinkStream(base, Accounts100k), oapiAccounts(base), ogenAccounts(base)), 3, 1,
		},
	}
}

// The names of the cases that have goals.
const (
	SmallAuth     = "`Auth.Get`, 3 accounts"
	SmallIdentity = "identity, 2 accounts"
	LargeAuth     = "`Auth.Get`, 500 accounts"
	LoginLinks    = "1,000 login links"
	Accounts      = "100,000 accounts"
)

// Check compares the answers of all clients of a case with the floor's.
func (c Case) Check(ctx context.Context) error {
	var want any
	for i, client := range c.Clients {
		answer, err := client.Call(ctx)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name, client.Name, err)
		}
		got, err := client.Plain(answer)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Name, client.Name, err)
		}
		text, err := json.Marshal(got)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s: %w", c.Name, client.Name, err)
		case i == 0:
			want = string(text)
		case want != string(text):
			return fmt.Errorf("%s: the answer of %s is not the floor's:\n%.2000s\n%.2000s",
				c.Name, client.Name, text, want)
		}
	}
	return nil
}

// Rotated is the clients in another order for each round, so that none always follows the same one.
func (c Case) Rotated(round int) []int {
	var order []int
	for i := range c.Clients {
		order = append(order, (i+round)%len(c.Clients))
	}
	if round/len(c.Clients)%2 == 1 {
		slices.Reverse(order)
	}
	return order
}
