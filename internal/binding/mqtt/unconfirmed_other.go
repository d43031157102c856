//go:build !linux

package mqttbinding

import "net"

// unconfirmed is not known on this system.
func unconfirmed(net.Conn) (n int, ok bool) { return 0, false }
