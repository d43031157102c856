package binding

// Reading is one committed instance of a container, as those get it who follow what is committed.
type Reading struct {
	// Index is the position of its entry in the log.
	Index uint64
	// Path is "<ae>/<container path>", resource names below the CSEBase; Container is the container's resource ID.
	Path, Container string
	// Originator is who made it.
	Originator string
	// Payload is the content as a plain device would send it: text without quotes, base64 undone.
	Payload []byte
	// MediaType is the type of Payload, "" when nobody said it.
	MediaType string
	Time      int64 // of its block, Unix microseconds
}

// Live follows what is committed. It is safe for concurrent use. It knows no rights: who hands a reading on asks first.
type Live interface {
	// Head is the log index that the next entry will have.
	Head() uint64
	// Grown returns a channel that is closed at the next commit.
	Grown() <-chan struct{}
	// Read returns the readings among at most max entries from index from on, of containers whose path want accepts,
	// and the index to go on from; fewer when they are large. changed says that one of the entries may have changed rights.
	Read(from uint64, max int, want func(path string) bool) (rs []Reading, next uint64, changed bool, err error)
	// Reading returns the reading at an index; ok is false when there is none, or it was deleted since.
	Reading(index uint64) (r Reading, ok bool, err error)
}
