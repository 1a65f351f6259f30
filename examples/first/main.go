// Command first is the first program of the README.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/duolinktest"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	fake := duolinktest.Start() // both APIs, in memory
	defer fake.Close()
	client, err := duolink.New(fake.Options()...)
	if err != nil {
		return err
	}
	link, err := client.Links.Create(ctx, duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	if err != nil {
		return err
	}
	fmt.Println(link.ID, link.Status, link.LoginURL) // dsll_5 OPEN ****
	fmt.Println(len(link.LoginURL.Reveal()) > 0)     // true: send it to the person who should log in
	return client.Close(ctx)
}
