//go:build goexperiment.jsonv2

package bench

import "encoding/json/v2"

// unmarshalV2 is encoding/json/v2, which the toolchain has only as an experiment.
var unmarshalV2 = func(text []byte, to any) error { return json.Unmarshal(text, to) }
