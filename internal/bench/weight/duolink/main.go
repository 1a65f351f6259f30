// Command duolink is a program that calls an API with the package duolink.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/duolink/duolink"
)

func main() {
	client, err := duolink.New(duolink.WithSupermetrics(duolink.BearerToken(os.Args[1])))
	if err != nil {
		fmt.Println(err)
		return
	}
	links, err := client.Links.List(context.Background())
	fmt.Println(len(links), err)
}
