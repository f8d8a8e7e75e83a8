package cwmp

import "context"

// Session x
type Session struct{}

// Call x
func (s *Session) Call(ctx context.Context, req RPC) (RPC, error) { return nil, nil }
