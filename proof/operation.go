package proof

import "fmt"

var operationNames = map[Operation]string{
	1: "CREATE", 2: "RETRIEVE", 3: "UPDATE", 4: "DELETE", 5: "NOTIFY",
	OpGenesis: "GENESIS", OpEnrol: "ENROL", OpRevoke: "REVOKE", OpErase: "ERASE", OpInvite: "INVITE", OpReset: "RESET", OpDeliver: "DELIVER",
	OpAudit: "AUDIT", OpQuarantine: "QUARANTINE", OpRelease: "RELEASE", OpPropose: "PROPOSE", OpApprove: "APPROVE",
}

// String is the operation's name in capitals, "operation 99" for one that this version does not know.
func (o Operation) String() string {
	if s, ok := operationNames[o]; ok {
		return s
	}
	return fmt.Sprintf("operation %d", uint8(o))
}
