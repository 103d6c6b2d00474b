package main

import "syscall"

// maxFiles returns how many files the process may have open.
func maxFiles() (uint64, bool) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err == nil
}

// fileSystem names the file systems that a log does not belong on (statfs(2)); "" for all others.
func fileSystem(dir string) string {
	var stat syscall.Statfs_t
	if syscall.Statfs(dir, &stat) != nil {
		return ""
	}
	switch stat.Type {
	case 0x01021994:
		return "tmpfs"
	case 0x6969:
		return "nfs"
	default:
		return ""
	}
}
