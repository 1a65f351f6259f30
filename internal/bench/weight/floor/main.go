// Command floor is a program that calls an API with net/http and encoding/json alone.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/duolink/duolink/internal/bench/answers"
)

func main() {
	resp, err := http.Get(os.Args[1]) //nolint:noctx // the program is only built
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	var answer answers.LinksAnswer
	text, err := io.ReadAll(resp.Body)
	fmt.Println(err, json.Unmarshal(text, &answer), len(answer.Data))
}
