package agent

// TransferComplete is the event of Device.LocalAgent. that tells of the end of a transfer, with the arguments of transferEvent. Each Controller's
// TransferCompletePolicy says whether it is told of those that succeeded, those that failed, or both.
const TransferComplete = "TransferComplete!"

var transferEvent = EventDef{Name: TransferComplete, Args: []string{"Command", "CommandKey", "Requestor", "TransferType", "Affected", "TransferURL",
	"StartTime", "CompleteTime", transferFault, "FaultString", "CheckSumAlgorithm", "CheckSum"}}

const (
	policyName    = "TransferCompletePolicy."
	transferFault = "FaultCode"

	onSuccess = "Success"
	onFailure = "Failure"
	onBoth    = "Both"
)

var policyTables = []*table{
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}." + policyName}, columns: []column{
		oneOf(text("ResultTypeFilter", onBoth, 0), onSuccess, onFailure, onBoth),
	}},
}

// wantsTransfer says whether a Subscription's Recipient wants to hear of a transfer that ended so; of anything else it is true.
func (rs *rowSet) wantsTransfer(subscription string, h Happening) bool {
	e, ok := h.(*Event)
	if !ok || e.Name != TransferComplete {
		return true
	}
	switch rs.get(rs.get(subscription, "Recipient")+"."+policyName, "ResultTypeFilter") {
	case onSuccess:
		return e.Args[transferFault] == "0"
	case onFailure:
		return e.Args[transferFault] != "0"
	}
	return true
}
