package bolt_test

import (
	"testing"

	"tidings/store"
	"tidings/store/bolt"
	"tidings/store/storetest"
)

func TestBoltConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string, opts storetest.Options) store.Log {
		log, err := bolt.Open(dir, bolt.Options{Now: opts.Now, KeyWindow: opts.KeyWindow,
			MaxKeys: opts.MaxKeys, MaxMarks: opts.MaxMarks})
		if err != nil {
			t.Fatal(err)
		}
		return log
	})
}
