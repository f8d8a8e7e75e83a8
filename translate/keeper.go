package translate

import (
	"context"

	"isthmus/store"
	"isthmus/usp/agent"
)

// keeper keeps an Agent's rows and notifications among the device's records.
type keeper struct{ d *Device }

var recordKinds = map[agent.RecordKind]store.Kind{agent.RowRecord: store.Row, agent.NotificationRecord: store.Notification}

func (k keeper) Load(ctx context.Context) ([]agent.Record, error) {
	var out []agent.Record
	for _, kind := range []agent.RecordKind{agent.RowRecord, agent.NotificationRecord} {
		for item, err := range k.d.p.store.List(ctx, string(k.d.id), recordKinds[kind]) {
			if err != nil {
				return nil, err
			}
			out = append(out, agent.Record{Kind: kind, ID: item.Key.ID, Data: item.Value})
		}
	}
	return out, nil
}

func (k keeper) Commit(ctx context.Context, changes []agent.Record) error {
	ops := make([]store.Op, len(changes))
	for i, c := range changes {
		ops[i] = store.Op{Key: k.d.key(recordKinds[c.Kind], c.ID), Value: c.Data}
	}
	return k.d.put(ctx, ops...)
}
