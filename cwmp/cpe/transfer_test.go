package cpe

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"isthmus/cwmp"
)

func files(t *testing.T) (url string, uploaded chan string) {
	uploaded = make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			body, _ := io.ReadAll(r.Body)
			uploaded <- string(body)
		case r.URL.Path == "/firmware":
			io.WriteString(w, "2.0.1\nimage")
		case r.URL.Path == "/basic":
			if u, p, _ := r.BasicAuth(); u != "u" || p != "p" {
				w.Header().Set("Www-Authenticate", `Basic realm="f"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, uploaded
}

func TestDownload(t *testing.T) {
	a := newACS(t)
	url, _ := files(t)
	for _, test := range []struct {
		name   string
		req    cwmp.Download
		code   cwmp.FaultCode
		events string
	}{
		{"firmware", cwmp.Download{FileType: firmwareImage, URL: url + "/firmware"}, 0, "1 BOOT,4 VALUE CHANGE,7 TRANSFER COMPLETE,M Download k"},
		{"basic", cwmp.Download{FileType: "3 Vendor Configuration File", URL: url + "/basic", Username: "u", Password: "p"}, 0, "7 TRANSFER COMPLETE,M Download k"},
		{"wrong password", cwmp.Download{FileType: "2 Web Content", URL: url + "/basic", Username: "u", Password: "x"}, cwmp.FaultFileServerAuth, "7 TRANSFER COMPLETE,M Download k"},
		{"absent", cwmp.Download{FileType: firmwareImage, URL: url + "/no"}, cwmp.FaultFileAccess, "7 TRANSFER COMPLETE,M Download k"},
		{"size", cwmp.Download{FileType: firmwareImage, URL: url + "/firmware", FileSize: 5}, cwmp.FaultFileCorrupted, "7 TRANSFER COMPLETE,M Download k"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := run(t, Config{ACS: a.URL})
			a.mu.Lock()
			a.requests = nil
			a.mu.Unlock()
			test.req.CommandKey = "k"
			if r := ask[*cwmp.DownloadResponse](a, c, &test.req); r.Status != 1 {
				t.Errorf("Status %d", r.Status)
			}
			idle(t, c)
			done := a.request(0).(*cwmp.TransferComplete)
			if done.CommandKey != "k" || done.FaultStruct.FaultCode != test.code {
				t.Errorf("TransferComplete %+v", done)
			}
			if got := codes(a.inform(-1)); got != test.events {
				t.Errorf("events %q, want %q", got, test.events)
			}
			if v := c.Value(info + "SoftwareVersion"); (v == "2.0.1") != (test.name == "firmware") {
				t.Errorf("SoftwareVersion %q", v)
			}
		})
	}
}

func TestUploadAndCancel(t *testing.T) {
	a := newACS(t)
	url, uploaded := files(t)
	c := run(t, Config{ACS: a.URL})
	ask[*cwmp.UploadResponse](a, c, &cwmp.Upload{CommandKey: "u", FileType: "1 Vendor Configuration File", URL: url + "/up"})
	idle(t, c)
	if got := <-uploaded; !strings.Contains(got, "Device.WiFi.SSID.1.SSID=Home") || strings.Contains(got, "horse") {
		t.Errorf("uploaded %q", got)
	}
	if got := codes(a.inform(-1)); got != "7 TRANSFER COMPLETE,M Upload u" {
		t.Errorf("events %q", got)
	}
	answers := a.talk(c,
		&cwmp.Download{CommandKey: "later", FileType: firmwareImage, URL: url + "/firmware", DelaySeconds: 3600},
		&cwmp.GetAllQueuedTransfers{}, &cwmp.CancelTransfer{CommandKey: "later"}, &cwmp.GetQueuedTransfers{})
	if r := answers[1].(*cwmp.GetAllQueuedTransfersResponse); len(r.TransferList) != 1 || r.TransferList[0].State != stateWaiting {
		t.Errorf("queued %+v", r)
	}
	if r := answers[3].(*cwmp.GetQueuedTransfersResponse); len(r.TransferList) != 0 {
		t.Errorf("cancelled transfer is queued: %+v", r)
	}
	idle(t, c)
	wantFault(a, c, &cwmp.Download{FileType: firmwareImage, URL: "ftp://files.example/x"}, cwmp.FaultFileTransferProtocol)
}
