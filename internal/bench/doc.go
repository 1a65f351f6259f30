// Package bench compares duolink with what its users could take instead.
//
// Every client asks the same server, on this machine and in a process of its own, for the same
// answers. The floor is plain net/http, io.ReadAll and encoding/json with plain structs. All other
// figures are ratios to the floor in the same round. Run
//
//	go run ./report
//
// for the tables of docs/performance.md. The clients of ogen and oapi-codegen are generated from
// openapi/*.yaml by go generate.
package bench
