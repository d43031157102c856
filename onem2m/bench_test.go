package onem2m

import "testing"

var (
	cinContent       = []byte(`{"m2m:cin":{"con":"73.96","cnf":"text/plain:0"}}`)
	containerContent = []byte(`{"m2m:cnt":{"rn":"temperature","lbl":["room:1","kind:temp"],"mni":1000,"acpi":["acp1"]}}`)
)

func benchmarkCreate(b *testing.B, content []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		tag, members, err := ParseContent(content)
		if err != nil {
			b.Fatal(err)
		}
		if err := LookupTag(tag).CheckCreate(members); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateContentInstance(b *testing.B) { benchmarkCreate(b, cinContent) }
func BenchmarkCreateContainer(b *testing.B)       { benchmarkCreate(b, containerContent) }

func BenchmarkInstanceRI(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := ParseInstanceRI(InstanceRI(12_345_678)); !ok {
			b.Fatal("not an instance ID")
		}
	}
}

func BenchmarkAppendTime(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 32)
	for b.Loop() {
		buf = AppendTime(buf[:0], 1_795_418_100_123_456)
	}
}

func BenchmarkCBORToJSON(b *testing.B) {
	in, err := JSONToCBOR(cinContent)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CBORToJSON(in); err != nil {
			b.Fatal(err)
		}
	}
}

var createPrimitive = []byte(`{"op":1,"to":"tally/line/room","fr":"Cline","rqi":"r123","rvi":"4","ty":4,"rcn":0,"pc":{"m2m:cin":{"con":"73.96"}}}`)

func BenchmarkParseRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(createPrimitive); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	b.ReportAllocs()
	r := &Response{Status: StatusCreated, RequestID: "r123", ReleaseVersion: "4", Content: cinContent}
	buf := make([]byte, 0, 512)
	for b.Loop() {
		buf = AppendResponse(buf[:0], r)
	}
}
