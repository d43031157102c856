package node

import "testing"

// A point of access is no way to another entity's connection or polling channel.
func TestPointOfAccessIsNoOwnAddress(t *testing.T) {
	n := startNode(t, initNode(t))
	defer stopNode(t, n)
	dev, _ := enrol(t, n, "Cdev")
	_, err := dev.Create(t.Context(), "tally", 2, map[string]any{
		"m2m:ae": map[string]any{"rn": "dev", "api": "Ndev", "rr": true, "srv": []string{"4"}, "poa": []string{"conn:Cvictim", "PCH:Cvictim", "http://h/"}},
	})
	must(t, err)
	route := n.resolve("Cdev")
	if len(route.Addresses) != 2 || route.Addresses[0].URL != "http://h/" || route.Addresses[1].URL != "conn:Cdev" {
		t.Errorf("%+v", route)
	}
}
