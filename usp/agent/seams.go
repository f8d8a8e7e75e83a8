package agent

import "context"

// Keeper keeps one Agent's records across restarts of the process.
type Keeper interface {
	// Load gives all records of the Agent, by Kind and ID.
	Load(ctx context.Context) ([]Record, error)
	// Commit applies all changes or none; they are on disk when it returns. Data nil deletes.
	Commit(ctx context.Context, changes []Record) error
}

// Record is one thing to keep. What Data means is the engine's business.
type Record struct {
	Kind RecordKind
	ID   string
	Data []byte
}

// RecordKind tells rows from notifications.
type RecordKind int

// The kinds of records.
const (
	RowRecord          RecordKind = iota // a row of the Agent's own tables; ID is its path below "Device."
	NotificationRecord                   // a Notify that is not delivered yet; IDs sort in the order of raising
)

// Interest is what the subscriptions of an Agent ask for, so that a DataModel can have the CPE report it and an Inform that touches
// none of it costs nothing. Paths are as Controllers wrote them in ReferenceList: they may hold wildcards and searches.
type Interest struct {
	ValueChange []string // parameters and objects
	Objects     []string // tables and rows of ObjectCreation and ObjectDeletion
	Events      []string // events and objects of Event, but for the Agent's own
}

// Empty says that nothing is asked for.
func (in Interest) Empty() bool { return len(in.ValueChange)+len(in.Objects)+len(in.Events) == 0 }
