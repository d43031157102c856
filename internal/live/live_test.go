package live

import "testing"

// TestPayload: contents come out as a device sends them (TS-0004 clause 6.3.3, m2m:encodingType).
func TestPayload(t *testing.T) {
	for content, want := range map[string][2]string{
		`{"m2m:cin":{"con":"21.5"}}`:                                          {"21.5", ""},
		`{"m2m:cin":{"con":21.5}}`:                                            {"21.5", ""},
		`{"m2m:cin":{"cnf":"application/json:0","con":{"a":[1,2]}}}`:          {`{"a":[1,2]}`, "application/json"},
		`{"m2m:cin":{"con":"a\"b\u00e9","cnf":"text/plain:0"}}`:               {`a"bé`, "text/plain"},
		`{"m2m:cin":{"con":"AAEC/w==","cnf":"application/octet-stream:1"}}`:   {"\x00\x01\x02\xff", "application/octet-stream"},
		`{"m2m:cin":{"con":"no base64!","cnf":"application/octet-stream:1"}}`: {"no base64!", "application/octet-stream"},
		`{"m2m:tsi":{"dgt":"20260101T000000","con":"7","snr":3}}`:             {"7", ""},
		`{"m2m:cin":{"con":""}}`:                                              {"", ""},
	} {
		if body, mediaType := payload([]byte(content)); string(body) != want[0] || mediaType != want[1] {
			t.Errorf("%s: %q %q, want %q", content, body, mediaType, want)
		}
	}
}
