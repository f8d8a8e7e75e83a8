package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// lines calls enough when it has been written to so often.
type lines struct {
	n      int
	enough context.CancelFunc
}

func (l *lines) Write(p []byte) (int, error) {
	if l.n--; l.n == 0 {
		l.enough()
	}
	return len(p), nil
}

func TestEveryAsksUntilAFailure(t *testing.T) {
	asked, good := 0, 3
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var req usppb.Msg
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Error(err)
		}
		if asked++; asked > good {
			http.Error(w, `{"error":"gone"}`, http.StatusBadGateway)
			return
		}
		answer, err := proto.Marshal(usp.NewResponse(req.GetHeader().GetMsgId(), &usppb.Response{RespType: &usppb.Response_GetResp{GetResp: &usppb.GetResp{
			ReqPathResults: []*usppb.GetResp_RequestedPathResult{{RequestedPath: "Device.A", ResolvedPathResults: []*usppb.GetResp_ResolvedPathResult{
				{ResolvedPath: "Device.", ResultParams: map[string]string{"A": "1"}}}}}}}}))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	args := []string{"usp", "get", "--every", "1ms", "--admin", server.URL, "--agent", "os::A-1", "Device.A"}
	if code := run(t.Context(), args, io.Discard, io.Discard, nil); code != exitFailed || asked != 4 {
		t.Errorf("exit %d after %d requests, want a failure after 4", code, asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked, good = 0, 1000
	if code := run(ctx, args, &lines{n: 2, enough: cancel}, io.Discard, nil); code != exitFine || asked != 2 {
		t.Errorf("exit %d after %d requests, want none after the second", code, asked)
	}
}
