//go:build scenario

package http

// What resources answer is the corpus of test/conformance; here is what only HTTP has.
var (
	methods = []exchange{
		{name: "CSEBase", clause: "TS-0004 7.4.3", method: "GET", path: "/tally", as: "Coperator", http: 200, rsc: 2000, has: `"csi":"/tally"`},
		{name: "CSEBase is not open", clause: "TS-0003 7.1.3", method: "GET", path: "/tally", http: 403, rsc: 4103},
		{name: "AE", clause: "TS-0004 7.4.5.2.1", method: "POST", path: "/tally", ty: 2, body: `{"m2m:ae":{"rn":"a","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 201, rsc: 2001, has: `"aei":"CA"`},
		{name: "AE twice", clause: "TS-0004 7.4.5.2.1", method: "POST", path: "/tally", ty: 2, body: `{"m2m:ae":{"rn":"a2","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 403, rsc: 4117},
		{name: "AE with a name that is taken", clause: "TS-0004 7.3.3.6", method: "POST", path: "/tally", as: "CB", ty: 2, body: `{"m2m:ae":{"rn":"a","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 409, rsc: 4105},
		{name: "create", clause: "TS-0004 7.4.6.2.1", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"c","mni":3}}`, http: 201, rsc: 2001, has: `"cni":0`},
		{name: "create, no such parent", clause: "TS-0004 7.3.3.1", method: "POST", path: "/tally/none", ty: 3, body: `{"m2m:cnt":{}}`, http: 404, rsc: 4004},
		{name: "partial retrieve", clause: "TS-0004 7.3.3.5", method: "GET", path: "/tally/a/c?atrl=mni", http: 200, rsc: 2000, has: `"mni":3`, hasNot: `"cbs"`},
		{name: "create", clause: "TS-0004 7.4.7.2.1", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"rn":"i1","con":"1"}}`, http: 201, rsc: 2001, has: `"cs":1`},
		{name: "update is not allowed", clause: "TS-0004 7.4.7.2.3", method: "PUT", path: "/tally/a/c/i1", body: `{"m2m:cin":{"con":"2"}}`, http: 405, rsc: 4005},
		{name: "address", clause: "TS-0004 7.5.2", method: "POST", path: "/tally/a/c?rcn=2", ty: 4, body: `{"m2m:cin":{"con":"6"}}`, http: 201, rsc: 2001, has: `"m2m:uri":"`},
		{name: "references", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=6", http: 200, rsc: 2000, has: `"m2m:rrl":{"rrf":[{`},
	}
	addressing = []exchange{
		{name: "unstructured", clause: "TS-0001 7.2", method: "GET", path: "/CA", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "hybrid", clause: "TS-0001 7.2", method: "GET", path: "/CA/c", http: 200, rsc: 2000, has: `"rn":"c"`},
		{name: "SP-relative, structured", clause: "TS-0009 6.2.1", method: "GET", path: "/~/tally/tally/a", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "SP-relative, unstructured", clause: "TS-0009 6.2.1", method: "GET", path: "/~/tally/CA", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "absolute", clause: "TS-0009 6.2.1", method: "GET", path: "/_/tallystick.local/tally/tally/a", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "what is none of the node's own pages is a resource", clause: "TS-0001 7.2", method: "GET", path: "/-/nothing-of-the-node", http: 404, rsc: 4004},
		{name: "another CSE", clause: "TS-0004 7.3.2.1", method: "GET", path: "/~/other/x", http: 404, rsc: 4004},
		{name: "another service provider", clause: "TS-0004 7.3.2.1", method: "GET", path: "/_/other.example/tally/tally/a", http: 404, rsc: 4004},
	}
	serialization = []exchange{
		{name: "vnd.onem2m-res+json", clause: "TS-0009 6.4.1.1", method: "POST", path: "/tally/a/c", ty: 4, media: "application/vnd.onem2m-res+json", body: `{"m2m:cin":{"con":"v"}}`, http: 201, rsc: 2001},
		{name: "CBOR", clause: "TS-0004 8.5", method: "POST", path: "/tally/a/c", ty: 4, media: "application/cbor", body: "\xa1\x67m2m:cin\xa1\x63con\x64cbor", http: 201, rsc: 2001},
		{name: "CBOR arrived", clause: "TS-0004 8.5", method: "GET", path: "/tally/a/c/la", http: 200, rsc: 2000, has: `"con":"cbor"`},
		{name: "Accept CBOR", clause: "TS-0009 6.4.1", method: "GET", path: "/tally/a/c/la", header: map[string]string{"Accept": "application/cbor"}, http: 200, rsc: 2000, has: `"con":"cbor"`},
		{name: "Accept vnd.onem2m-res+cbor", clause: "TS-0009 6.4.1", method: "GET", path: "/tally/a/c/la", header: map[string]string{"Accept": "application/vnd.onem2m-res+cbor"}, http: 200, rsc: 2000, has: `"con":"cbor"`},
		{name: "Accept nothing that there is", clause: "TS-0004 table 6.6.3.1-1", method: "GET", path: "/tally/a/c/la", header: map[string]string{"Accept": "text/html"}, http: 406, rsc: 5207},
		{name: "XML", clause: "TS-0004 6.6.3.5", method: "POST", path: "/tally/a/c", ty: 4, media: "application/xml", body: `<m2m:cin/>`, http: 415, rsc: 4015},
		{name: "broken JSON", clause: "TS-0004 7.3.2.1", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"con":`, http: 400, rsc: 4000},
		{name: "broken CBOR", clause: "TS-0004 7.3.2.1", method: "POST", path: "/tally/a/c", ty: 4, media: "application/cbor", body: "\xa1\x67m2m", http: 400, rsc: 4000},
		{name: "attribute twice", clause: "RFC 8259 4", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"con":"1","con":"2"}}`, http: 400, rsc: 4000},
	}
	headers = []exchange{
		{name: "no request ID", clause: "TS-0009 6.4.3", method: "GET", path: "/tally/a", header: map[string]string{"X-M2M-RI": "-"}, http: 400, rsc: 4000},
		{name: "no release means the first", clause: "TS-0004 table 6.6.3.5-1", method: "GET", path: "/tally/a", header: map[string]string{"X-M2M-RVI": "-"}, http: 501, rsc: 4001},
		{name: "release unknown", clause: "TS-0004 table 6.6.3.5-1", method: "GET", path: "/tally/a", header: map[string]string{"X-M2M-RVI": "99"}, http: 501, rsc: 4001},
		{name: "no originator", clause: "TS-0009 6.4.1", method: "GET", path: "/tally/a", header: map[string]string{"X-M2M-Origin": "-"}, http: 400, rsc: 4000},
		{name: "originator of another token", clause: "TS-0003 7.2", method: "GET", path: "/tally/a", as: "CB", header: map[string]string{"X-M2M-Origin": "CA"}, http: 403, rsc: 4103},
		{name: "no token", clause: "TS-0009 7.1.2, RFC 6750 3", method: "GET", path: "/tally/a", header: map[string]string{"Authorization": "-"}, http: 401, rsc: 4107},
		{name: "expired", clause: "TS-0004 7.3.2.1", method: "GET", path: "/tally/a", header: map[string]string{"X-M2M-RET": "20200101T000000"}, http: 504, rsc: 4008},
		{name: "method that there is not", clause: "TS-0009 6.2.1", method: "PATCH", path: "/tally/a", http: 405, rsc: 4005},
	}
	deletion = []exchange{
		{name: "container with children", clause: "TS-0004 7.3.3.8", method: "DELETE", path: "/tally/a/c", http: 200, rsc: 2002},
		{name: "it is gone", clause: "TS-0004 7.3.3.1", method: "GET", path: "/tally/a/c", http: 404, rsc: 4004},
	}
)
