//go:build scenario

package http

var (
	registration = []exchange{
		{name: "CSEBase", clause: "TS-0004 7.4.3", method: "GET", path: "/tally", as: "Coperator", http: 200, rsc: 2000, has: `"csi":"/tally"`},
		{name: "CSEBase is not open", clause: "TS-0003 7.1.3", method: "GET", path: "/tally", http: 403, rsc: 4103},
		{name: "AE", clause: "TS-0004 7.4.5.2.1", method: "POST", path: "/tally", ty: 2, body: `{"m2m:ae":{"rn":"a","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 201, rsc: 2001, has: `"aei":"CA"`},
		{name: "AE twice", clause: "TS-0004 7.4.5.2.1", method: "POST", path: "/tally", ty: 2, body: `{"m2m:ae":{"rn":"a2","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 403, rsc: 4117},
		{name: "AE without api", clause: "TS-0004 7.4.5.1", method: "POST", path: "/tally", as: "CB", ty: 2, body: `{"m2m:ae":{"rn":"b","rr":false,"srv":["4"]}}`, http: 400, rsc: 4000},
		{name: "AE with a name that is taken", clause: "TS-0004 7.3.3.6", method: "POST", path: "/tally", as: "CB", ty: 2, body: `{"m2m:ae":{"rn":"a","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 409, rsc: 4105},
		{name: "AE of another", clause: "TS-0004 7.4.5.2.1", method: "POST", path: "/tally", as: "CB", ty: 2, body: `{"m2m:ae":{"rn":"b","api":"Ncorpus","rr":false,"srv":["4"]}}`, http: 201, rsc: 2001, has: `"aei":"CB"`},
		{name: "AE attribute that only the CSE sets", clause: "TS-0004 7.3.3.3", method: "PUT", path: "/tally/a", body: `{"m2m:ae":{"aei":"CX"}}`, http: 400, rsc: 4000},
		{name: "AE update", clause: "TS-0004 7.3.3.7", method: "PUT", path: "/tally/a", body: `{"m2m:ae":{"lbl":["floor:2"]}}`, http: 200, rsc: 2004, has: `"lbl":["floor:2"]`},
		{name: "AE retrieve", clause: "TS-0004 7.3.3.5", method: "GET", path: "/tally/a", http: 200, rsc: 2000, has: `"api":"Ncorpus"`},
	}
	container = []exchange{
		{name: "create", clause: "TS-0004 7.4.6.2.1", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"c","mni":3}}`, http: 201, rsc: 2001, has: `"cni":0`},
		{name: "create, name taken", clause: "TS-0004 7.3.3.6", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"c"}}`, http: 409, rsc: 4105},
		{name: "create, attribute unknown", clause: "TS-0004 7.3.3.3", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"x","foo":1}}`, http: 400, rsc: 4000},
		{name: "create, attribute of the CSE", clause: "TS-0004 7.4.6.1", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"x","cni":1}}`, http: 400, rsc: 4000},
		{name: "create, negative limit", clause: "TS-0004 6.3.3", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:cnt":{"rn":"x","mni":-1}}`, http: 400, rsc: 4000},
		{name: "create, body of another type", clause: "TS-0004 7.2.2.1", method: "POST", path: "/tally/a", ty: 3, body: `{"m2m:ae":{"rn":"x"}}`, http: 400, rsc: 4000},
		{name: "create, no such type", clause: "TS-0004 7.2.2.1", method: "POST", path: "/tally/a", ty: 999, body: `{"m2m:x":{}}`, http: 400, rsc: 4000},
		{name: "create, no such parent", clause: "TS-0004 7.3.3.1", method: "POST", path: "/tally/none", ty: 3, body: `{"m2m:cnt":{}}`, http: 404, rsc: 4004},
		{name: "create in a container", clause: "TS-0001 9.6.6", method: "POST", path: "/tally/a/c", ty: 3, body: `{"m2m:cnt":{"rn":"d"}}`, http: 201, rsc: 2001},
		{name: "create an AE in a container", clause: "TS-0004 7.3.3.3", method: "POST", path: "/tally/a/c", ty: 2, body: `{"m2m:ae":{"api":"Nx","rr":false,"srv":["4"]}}`, http: 403, rsc: 4108},
		{name: "partial retrieve", clause: "TS-0004 7.3.3.5", method: "GET", path: "/tally/a/c?atrl=mni", http: 200, rsc: 2000, has: `"mni":3`, hasNot: `"cbs"`},
		{name: "update", clause: "TS-0004 7.3.3.7", method: "PUT", path: "/tally/a/c", body: `{"m2m:cnt":{"lbl":["x"]}}`, http: 200, rsc: 2004},
		{name: "update, attribute removed", clause: "TS-0004 7.3.3.7", method: "PUT", path: "/tally/a/c", body: `{"m2m:cnt":{"lbl":null}}`, http: 200, rsc: 2004, hasNot: `["x"]`},
		{name: "la of an empty container", clause: "TS-0004 7.4.28.2.2", method: "GET", path: "/tally/a/c/la", http: 404, rsc: 4004},
	}
	contentInstance = []exchange{
		{name: "create", clause: "TS-0004 7.4.7.2.1", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"rn":"i1","con":"1"}}`, http: 201, rsc: 2001, has: `"cs":1`},
		{name: "create, object as content", clause: "TS-0004 7.4.7.1", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"rn":"i2","con":{"v":2}}}`, http: 201, rsc: 2001},
		{name: "create without con", clause: "TS-0004 7.4.7.1", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{}}`, http: 400, rsc: 4000},
		{name: "create below an AE", clause: "TS-0004 7.3.3.3", method: "POST", path: "/tally/a", ty: 4, body: `{"m2m:cin":{"con":"1"}}`, http: 403, rsc: 4108},
		{name: "update is not allowed", clause: "TS-0004 7.4.7.2.3", method: "PUT", path: "/tally/a/c/i1", body: `{"m2m:cin":{"con":"2"}}`, http: 405, rsc: 4005},
		{name: "third", clause: "TS-0001 9.6.6", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"rn":"i3","con":"3"}}`, http: 201, rsc: 2001},
		{name: "fourth takes the place of the first", clause: "TS-0001 10.2.4.2", method: "POST", path: "/tally/a/c", ty: 4, body: `{"m2m:cin":{"rn":"i4","con":"4"}}`, http: 201, rsc: 2001},
		{name: "the first is gone", clause: "TS-0001 10.2.4.2", method: "GET", path: "/tally/a/c/i1", http: 404, rsc: 4004},
		{name: "ol", clause: "TS-0004 7.4.29.2.2", method: "GET", path: "/tally/a/c/ol", http: 200, rsc: 2000, has: `"rn":"i2"`},
		{name: "la", clause: "TS-0004 7.4.28.2.2", method: "GET", path: "/tally/a/c/la", http: 200, rsc: 2000, has: `"con":"4"`},
		{name: "la cannot be created", clause: "TS-0004 7.4.28.2.1", method: "POST", path: "/tally/a/c/la", ty: 4, body: `{"m2m:cin":{"con":"1"}}`, http: 405, rsc: 4005},
		{name: "la cannot be updated", clause: "TS-0004 7.4.28.2.3", method: "PUT", path: "/tally/a/c/la", body: `{"m2m:cin":{"lbl":["x"]}}`, http: 405, rsc: 4005},
		{name: "ol deleted", clause: "TS-0004 7.4.29.2.4", method: "DELETE", path: "/tally/a/c/ol", http: 200, rsc: 2002},
		{name: "the next is the oldest", clause: "TS-0004 7.4.29.2.2", method: "GET", path: "/tally/a/c/ol", http: 200, rsc: 2000, has: `"rn":"i3"`},
		{name: "counters", clause: "TS-0004 7.4.6.1", method: "GET", path: "/tally/a/c", http: 200, rsc: 2000, has: `"cni":2`},
	}
	accessControl = []exchange{
		{name: "another may not read", clause: "TS-0001 9.6.1.3.1", method: "GET", path: "/tally/a/c", as: "CB", http: 403, rsc: 4103},
		{name: "policy", clause: "TS-0004 7.4.2.2.1", method: "POST", path: "/tally/a", ty: 1, body: `{"m2m:acp":{"rn":"p","pv":{"acr":[{"acor":["CA"],"acop":63},{"acor":["CB"],"acop":2}]},"pvs":{"acr":[{"acor":["CA"],"acop":63}]}}}`, http: 201, rsc: 2001},
		{name: "policy without pvs", clause: "TS-0004 7.4.2.1", method: "POST", path: "/tally/a", ty: 1, body: `{"m2m:acp":{"rn":"q","pv":{"acr":[]}}}`, http: 400, rsc: 4000},
		{name: "operations out of range", clause: "TS-0004 6.3.4.2.29", method: "POST", path: "/tally/a", ty: 1, body: `{"m2m:acp":{"rn":"q","pv":{"acr":[{"acor":["CA"],"acop":64}]},"pvs":{"acr":[{"acor":["CA"],"acop":63}]}}}`, http: 400, rsc: 4000},
		{name: "linked", clause: "TS-0001 9.6.1.3.1", method: "PUT", path: "/tally/a/c", body: `{"m2m:cnt":{"acpi":["tally/a/p"]}}`, http: 200, rsc: 2004},
		{name: "now another may read", clause: "TS-0003 7.1.3", method: "GET", path: "/tally/a/c", as: "CB", http: 200, rsc: 2000},
		{name: "but not write", clause: "TS-0003 7.1.3", method: "POST", path: "/tally/a/c", as: "CB", ty: 4, body: `{"m2m:cin":{"con":"x"}}`, http: 403, rsc: 4103},
		{name: "nor delete", clause: "TS-0003 7.1.3", method: "DELETE", path: "/tally/a/c", as: "CB", http: 403, rsc: 4103},
		{name: "nor read the policy", clause: "TS-0003 7.1.3, pvs", method: "GET", path: "/tally/a/p", as: "CB", http: 403, rsc: 4103},
		{name: "policy that does not exist", clause: "TS-0004 7.3.3.3", method: "PUT", path: "/tally/a/c", body: `{"m2m:cnt":{"acpi":["tally/a/none"]}}`, http: 400, rsc: 4000},
	}
	discovery = []exchange{
		{name: "all", clause: "TS-0004 7.3.3.14", method: "GET", path: "/tally/a?fu=1", http: 200, rsc: 2000, has: `"m2m:uril":[`},
		{name: "by type", clause: "TS-0001 8.1.2", method: "GET", path: "/tally/a?fu=1&ty=3", http: 200, rsc: 2000, has: `tally/a/c/d`, hasNot: `tally/a/p`},
		{name: "unstructured", clause: "TS-0004 6.3.4.2.8", method: "GET", path: "/tally/a?fu=1&ty=1&drt=2", http: 200, rsc: 2000, hasNot: `tally/a/p`},
		{name: "by label", clause: "TS-0001 8.1.2", method: "GET", path: "/tally/a?fu=1&lbl=nothing", http: 200, rsc: 2000, has: `[]`},
		{name: "level", clause: "TS-0001 8.1.2", method: "GET", path: "/tally/a?fu=1&ty=3&lvl=1", http: 200, rsc: 2000, hasNot: `tally/a/c/d`},
		{name: "limit", clause: "TS-0004 7.3.3.14", method: "GET", path: "/tally/a?fu=1&lim=1", http: 200, rsc: 2000, hasNot: `,`},
		{name: "usage unknown", clause: "TS-0004 6.3.4.2.31", method: "GET", path: "/tally/a?fu=9", http: 400, rsc: 4000},
		{name: "no discovery right", clause: "TS-0003 7.1.3", method: "GET", path: "/tally/a?fu=1", as: "CB", http: 200, rsc: 2000, has: `[]`},
		{name: "parameter unknown", clause: "TS-0009 6.2.2.2", method: "GET", path: "/tally/a?fu=1&nonsense=1", http: 400, rsc: 4000},
	}
	resultContent = []exchange{
		{name: "nothing", clause: "TS-0004 7.5.2", method: "POST", path: "/tally/a/c?rcn=0", ty: 4, body: `{"m2m:cin":{"con":"5"}}`, http: 201, rsc: 2001, hasNot: `m2m:cin`},
		{name: "address", clause: "TS-0004 7.5.2", method: "POST", path: "/tally/a/c?rcn=2", ty: 4, body: `{"m2m:cin":{"con":"6"}}`, http: 201, rsc: 2001, has: `"m2m:uri":"`},
		{name: "address and attributes", clause: "TS-0004 7.5.2", method: "POST", path: "/tally/a/c?rcn=3", ty: 4, body: `{"m2m:cin":{"con":"7"}}`, http: 201, rsc: 2001, has: `"m2m:rce":{`},
		{name: "attributes and children", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=4", http: 200, rsc: 2000, has: `"m2m:cnt":[{`},
		{name: "attributes and references", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=5", http: 200, rsc: 2000, has: `"ch":[{`},
		{name: "references", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=6", http: 200, rsc: 2000, has: `"m2m:rrl":{"rrf":[{`},
		{name: "children", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=8", http: 200, rsc: 2000, hasNot: `"api"`},
		{name: "modified attributes", clause: "TS-0004 7.5.2", method: "PUT", path: "/tally/a?rcn=9", body: `{"m2m:ae":{"lbl":["y"]}}`, http: 200, rsc: 2004, has: `"lt"`, hasNot: `"lbl"`},
		{name: "not for this operation", clause: "TS-0004 7.5.2", method: "GET", path: "/tally/a?rcn=3", http: 400, rsc: 4000},
		{name: "unknown", clause: "TS-0004 6.3.4.2.7", method: "GET", path: "/tally/a?rcn=99", http: 400, rsc: 4000},
	}
	addressing = []exchange{
		{name: "unstructured", clause: "TS-0001 7.2", method: "GET", path: "/CA", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "hybrid", clause: "TS-0001 7.2", method: "GET", path: "/CA/c", http: 200, rsc: 2000, has: `"rn":"c"`},
		{name: "SP-relative, structured", clause: "TS-0009 6.2.1", method: "GET", path: "/~/tally/tally/a", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "SP-relative, unstructured", clause: "TS-0009 6.2.1", method: "GET", path: "/~/tally/CA", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "absolute", clause: "TS-0009 6.2.1", method: "GET", path: "/_/tallystick.local/tally/tally/a", http: 200, rsc: 2000, has: `"rn":"a"`},
		{name: "the node's own pages are no resources", clause: "TS-0001 7.2", method: "GET", path: "/-/nothing-of-oneM2M", http: 404},
		{name: "another CSE", clause: "TS-0004 7.3.2.1", method: "GET", path: "/~/other/x", http: 404, rsc: 4004},
		{name: "another service provider", clause: "TS-0004 7.3.2.1", method: "GET", path: "/_/other.example/tally/tally/a", http: 404, rsc: 4004},
	}
	group = []exchange{
		{name: "create", clause: "TS-0004 7.4.13.2.1", method: "POST", path: "/tally/a", ty: 9, body: `{"m2m:grp":{"rn":"g","mt":3,"mnm":4,"mid":["tally/a/c","tally/a/c/d"]}}`, http: 201, rsc: 2001, has: `"cnm":2`},
		{name: "too many members", clause: "TS-0004 7.4.13.2.1", method: "POST", path: "/tally/a", ty: 9, body: `{"m2m:grp":{"rn":"h","mt":3,"mnm":1,"mid":["tally/a/c","tally/a/c/d"]}}`, http: 400, rsc: 6010},
		{name: "member of another type is left out", clause: "TS-0004 7.4.13.2.1, csy 1", method: "POST", path: "/tally/a", ty: 9, body: `{"m2m:grp":{"rn":"k","mt":2,"mnm":4,"mid":["tally/a/c"],"csy":1}}`, http: 201, rsc: 2001, has: `"cnm":0`},
		{name: "member of another type is refused", clause: "TS-0004 7.4.13.2.1, csy 2", method: "POST", path: "/tally/a", ty: 9, body: `{"m2m:grp":{"rn":"h","mt":2,"mnm":4,"mid":["tally/a/c"],"csy":2}}`, http: 400, rsc: 4110},
		{name: "fan out a retrieve", clause: "TS-0004 7.4.14.2.2", method: "GET", path: "/tally/a/g/fopt", http: 200, rsc: 2000, has: `"m2m:agr":{"m2m:rsp":[`},
		{name: "fan out a create", clause: "TS-0004 7.4.14.2.1", method: "POST", path: "/tally/a/g/fopt", ty: 4, body: `{"m2m:cin":{"con":"all"}}`, http: 200, rsc: 2000, has: `"rsc":2001`},
		{name: "fan out to a child", clause: "TS-0001 7.2", method: "GET", path: "/tally/a/g/fopt/la", http: 200, rsc: 2000, has: `"con":"all"`},
	}
	subscription = []exchange{
		{name: "create", clause: "TS-0004 7.4.8.2.1", method: "POST", path: "/tally/a/c", ty: 23, body: `{"m2m:sub":{"rn":"s","nu":["CA"],"enc":{"net":[3]}}}`, http: 201, rsc: 2001, has: `"nct":1`},
		{name: "without a target", clause: "TS-0004 7.4.8.1", method: "POST", path: "/tally/a/c", ty: 23, body: `{"m2m:sub":{"rn":"s2"}}`, http: 400, rsc: 4000},
		{name: "target that nobody serves", clause: "TS-0004 7.4.8.2.1", method: "POST", path: "/tally/a/c", ty: 23, body: `{"m2m:sub":{"rn":"s2","nu":["http://127.0.0.1:1/x"]}}`, http: 500, rsc: 5204},
		{name: "event type unknown", clause: "TS-0004 6.3.4.2.19", method: "POST", path: "/tally/a/c", ty: 23, body: `{"m2m:sub":{"rn":"s2","nu":["CA"],"enc":{"net":[77]}}}`, http: 400, rsc: 4000},
		{name: "update", clause: "TS-0004 7.4.8.2.3", method: "PUT", path: "/tally/a/c/s", body: `{"m2m:sub":{"exc":5}}`, http: 200, rsc: 2004, has: `"exc":5`},
		{name: "below a subscription", clause: "TS-0004 7.4.8.2.1", method: "POST", path: "/tally/a/c/s", ty: 23, body: `{"m2m:sub":{"nu":["CA"]}}`, http: 403, rsc: 5203},
	}
	node = []exchange{
		{name: "create", clause: "TS-0004 7.4.18.2.1", method: "POST", path: "/tally", as: "Coperator", ty: 14, body: `{"m2m:nod":{"rn":"n","ni":"urn:node:1"}}`, http: 201, rsc: 2001, has: `"ni":"urn:node:1"`},
		{name: "without an identity", clause: "TS-0004 7.4.18.1", method: "POST", path: "/tally", as: "Coperator", ty: 14, body: `{"m2m:nod":{"rn":"n2"}}`, http: 400, rsc: 4000},
		{name: "below an AE", clause: "TS-0004 7.3.3.3", method: "POST", path: "/tally/a", ty: 14, body: `{"m2m:nod":{"ni":"x"}}`, http: 403, rsc: 4108},
		{name: "retrieve", clause: "TS-0004 7.3.3.5", method: "GET", path: "/tally/n", as: "Coperator", http: 200, rsc: 2000, has: `"ty":14`},
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
		{name: "subscription", clause: "TS-0004 7.3.3.8", method: "DELETE", path: "/tally/a/c/s", http: 200, rsc: 2002},
		{name: "container with children", clause: "TS-0004 7.3.3.8", method: "DELETE", path: "/tally/a/c", http: 200, rsc: 2002},
		{name: "it is gone", clause: "TS-0004 7.3.3.1", method: "GET", path: "/tally/a/c", http: 404, rsc: 4004},
		{name: "and its children", clause: "TS-0004 7.3.3.8", method: "GET", path: "/tally/a/c/d", http: 404, rsc: 4004},
		{name: "CSEBase", clause: "TS-0004 7.4.3.2.4", method: "DELETE", path: "/tally", as: "Coperator", http: 405, rsc: 4005},
		{name: "AE", clause: "TS-0004 7.4.5.2.4", method: "DELETE", path: "/tally/a", http: 200, rsc: 2002},
	}
)
