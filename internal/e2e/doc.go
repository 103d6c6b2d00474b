// Package e2e drives the real binary over real HTTP, and judges what it saw.
//
//	binary, err := e2e.Build(dir)                                     // as it is shipped
//	server := e2e.Start(t, e2e.Options{Binary: binary, DataDir: data}) // returns when it listens
//	publisher := e2e.Publisher{Number: 1, Topic: "orders"}
//	publisher.Publish(ctx, client, server.URL())
//	consumer := e2e.Consumer{Filter: store.All(), Start: "since=earliest"}
//	consumer.Read(ctx, client, server.URL(), e2e.UntilLive)
//	server.Kill()                                                     // and so on
//	err = e2e.Validate(&e2e.History{Attempts: publisher.Attempts, Log: log, Consumers: ...})
//
// A harness writes a [History]: every publish and its outcome, every frame of every consumer over all its connections,
// and the log as found at the end. The validators are functions of a History alone: they know neither the server nor
// the fault, so a campaign of any length and any fault ends with the same verdict. They prove what survives the death
// of a process; this package does not prove that data survives a power cut.
//
// The tests draw random choices from a seed, log it, and repeat them with TIDINGS_SEED=N; the scheduling of the machine
// does not repeat. TIDINGS_FULL=1 runs the long versions, TIDINGS_ROUNDS=N sets the number of rounds of kills.
package e2e
