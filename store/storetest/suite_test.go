package storetest_test

import (
	"testing"

	"tidings/store/storetest"
)

func TestModel(t *testing.T) { storetest.Run(t, storetest.Models()) }
