package onem2m

import "testing"

// TS-0009 table 6.3.2-1: the HTTP status of each response status code, class by class as that table lists them.
func TestHTTPStatus(t *testing.T) {
	for http, codes := range map[int][]StatusCode{
		200: {2000, 2002, 2004},
		201: {2001},
		202: {1000, 1001, 1002},
		400: {4000, 4102, 4110, 4120, 4122, 4123, 4143, 6010, 6022, 6023, 6024},
		403: {
			4101, 4103, 5105, 5203, 5205, 4106, 4107, 4108, 4109, 4111, 4112, 4113, 4114, 4115, 4116, 4117, 4126, 4127,
			5208, 5214, 5215, 5218, 5222,
		},
		404: {4004, 4118, 4119, 4121, 5103, 5107, 6003, 6005},
		405: {4005},
		406: {5207},
		409: {4104, 4105, 4124, 5106, 5219, 5220, 6028, 6029},
		415: {4015},
		500: {5000, 5204, 5209, 5210, 5211, 5212, 5216, 5217, 5221, 6020, 6021, 6025, 6026},
		501: {4001, 4125, 5001, 5206},
		504: {4008, 6030, 6031},
	} {
		for _, code := range codes {
			if got := code.HTTPStatus(); got != http {
				t.Errorf("%d %s: HTTP %d, want %d", code, code, got, http)
			}
			if code.String()[0] < 'A' {
				t.Errorf("%d has no name", code)
			}
		}
	}
}
