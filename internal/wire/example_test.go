package wire_test

import (
	"fmt"
	"strings"

	"tidings/internal/wire"
	"tidings/store"
)

func Example() {
	body := strings.NewReader(
		`{"topic":"orders","type":"order.created","data":{"order":1001}}` + "\n" +
			`{"topic":"orders","tpye":"order.created","data":1}`)
	id, _ := store.ParseID("01K5ZM00000000000000000000")
	for d, err := range wire.NDJSON(body, 1<<20) {
		if err != nil {
			fmt.Println(err)
			return
		}
		e := store.Event{ID: id, Topic: d.Topic, Type: d.Type, ContentType: d.ContentType,
			Data: d.Data}
		line, _ := wire.AppendLine(nil, &e)
		fmt.Println(strings.ReplaceAll(string(line), `,"`, ",\n\""))
		fmt.Printf("%s", wire.AppendDataFrame(nil, &e))
	}
	// Output:
	// {"id":"01K5ZM00000000000000000000",
	// "topic":"orders",
	// "type":"order.created",
	// "time":"2025-09-25T05:02:04.8Z",
	// "datacontenttype":"application/json",
	// "data":{"order":1001}}
	//
	// id: 01K5ZM00000000000000000000
	// event: order.created
	// data: {"order":1001}
	//
	// unknown member "tpye" beside ["topic" "type" "data"]
}
