package bench

//go:generate go tool oapi-codegen -config gen/oapi/config.yaml openapi/supermetrics.yaml
//go:generate go tool ogen -config gen/ogen/ogen.yml -target gen/ogen -package ogen -clean openapi/supermetrics.yaml
