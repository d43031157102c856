package cse

import "github.com/tallystick/tallystick/onem2m"

// stringsOf gives the strings in the JSON text of an array, nil when there is none.
func stringsOf(value []byte) []string {
	var list []string
	for element := range onem2m.Elements(value) {
		if s, ok := onem2m.Unquote(element); ok {
			list = append(list, s)
		}
	}
	return list
}

// trueValue says whether a JSON text is true.
func trueValue(value []byte) bool { return string(value) == "true" }
