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
	fake := duolinktest.Start() // both APIs, in memory
	defer fake.Close()
	client, err := duolink.New(fake.Options()...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())

	link, err := client.Links.Create(context.Background(), duolink.LoginLinkCreate{DataSourceID: "GAWA"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(link.ID, link.Status, link.LoginURL) // dsll_5 OPEN ****
	fmt.Println(len(link.LoginURL.Reveal()) > 0)     // true: send it to the person who should log in
}
