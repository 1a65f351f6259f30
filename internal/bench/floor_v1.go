//go:build !goexperiment.jsonv2

package bench

// unmarshalV2 is nil if the toolchain has no encoding/json/v2.
var unmarshalV2 func(text []byte, to any) error
