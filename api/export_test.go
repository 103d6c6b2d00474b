package api

// Codes returns the table of errors: the status of each code.
func Codes() map[string]int {
	codes := make(map[string]int)
	for code, k := range kinds {
		codes[code] = k.status
	}
	return codes
}
