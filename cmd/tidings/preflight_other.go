//go:build !linux

package main

// maxFiles and fileSystem are known on Linux only.
func maxFiles() (uint64, bool) { return 0, false }

func fileSystem(string) string { return "" }
