package api

import (
	"tidings/internal/wire"
	"tidings/replay"
)

// formats are the values of ?format=.
var formats = map[string]*replay.Format{
	"":     dataFormat,
	"data": dataFormat,
	"cloudevents": {Name: "cloudevents", AppendFrame: wire.AppendCloudEventFrame,
		DataSize: wire.CloudEventDataSize},
}

var dataFormat = &replay.Format{Name: "data", AppendFrame: wire.AppendDataFrame,
	DataSize: wire.DataSize}
