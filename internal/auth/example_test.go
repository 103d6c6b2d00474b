package auth_test

import (
	"context"
	"fmt"
	"time"

	"tidings/internal/auth"
	"tidings/store"
)

func Example() {
	key := []byte("k1Xy7ZcV3QpL9wEo5RtG2uJbN8sMdAhF0iTq4vBzWxI=") // openssl rand -base64 32
	orders, err := store.NewFilter("orders.>")
	if err != nil {
		panic(err)
	}
	token, err := auth.Mint(key, auth.Grant{
		Subject: "shop", Publish: orders, Expires: time.Now().Add(time.Hour),
	}, auth.MintOptions{})
	if err != nil {
		panic(err)
	}

	v, err := auth.NewVerifier(context.Background(), auth.Options{Key: key})
	if err != nil {
		panic(err)
	}
	grant, err := v.Verify(context.Background(), token)
	fmt.Println(grant.Subject, grant.Publish.Match("orders.eu"),
		grant.Subscribe.Match("orders.eu"), err)
	_, err = v.Verify(context.Background(), token+"x")
	fmt.Println(err)
	// Output:
	// shop true false <nil>
	// the token is not accepted: wrong signature
}
