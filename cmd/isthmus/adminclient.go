package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/cmd/isthmus/admin"
	"isthmus/usp/usppb"
)

// adminFlags are the flags of the commands that talk to a running proxy.
type adminFlags struct {
	Admin     string `default:"127.0.0.1:9647" env:"ISTHMUS_ADMIN_LISTEN" placeholder:"ADDR" help:"Admin address of the running proxy: host:port, or an http:// or https:// URL (${default})."`
	TokenFile string `env:"ISTHMUS_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"File with the proxy's bearer token."`
	CAFile    string `name:"ca-file" env:"ISTHMUS_ADMIN_CA_FILE" placeholder:"FILE" help:"CA certificates to trust for an https:// address."`
	CertFile  string `name:"cert-file" env:"ISTHMUS_ADMIN_CERT_FILE" placeholder:"FILE" help:"Client certificate to show, in place of a token or beside it."`
	KeyFile   string `name:"key-file" env:"ISTHMUS_ADMIN_KEY_FILE" placeholder:"FILE" help:"Its private key."`
}

const (
	adminTimeout = time.Minute // more than any USP request may take by default
	maxAnswer    = 64 << 20
)

// errAdmin is an answer of the admin address that is an error.
type errAdmin struct {
	status int
	text   string
}

func (e *errAdmin) Error() string { return e.text }

// get reads one resource below /api/v1/.
func (f *adminFlags) get(ctx context.Context, path string, into any) error {
	body, err := f.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s does not answer like isthmus: check --admin: %w", f.Admin, err)
	}
	return nil
}

// do sends a USP request to the Agent of a device.
func (f *adminFlags) do(ctx context.Context, id string, req *usppb.Msg) (*usppb.Msg, error) {
	body, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	if body, err = f.call(ctx, http.MethodPost, "devices/"+admin.Segment(id)+"/usp", body); err != nil {
		return nil, err
	}
	resp := new(usppb.Msg)
	if err := proto.Unmarshal(body, resp); err != nil {
		return nil, fmt.Errorf("%s does not answer like isthmus: check --admin: %w", f.Admin, err)
	}
	return resp, nil
}

func (f *adminFlags) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	var answer []byte
	err := f.stream(ctx, method, path, body, func(r io.Reader) (err error) {
		if answer, err = io.ReadAll(io.LimitReader(r, maxAnswer)); err != nil {
			return fmt.Errorf("reading the answer of %s: %w", f.Admin, err)
		}
		return nil
	})
	return answer, err
}

// stream sends a request, of a path below /api/v1/ unless it begins with "/", and has read take the body of an answer that is no error.
func (f *adminFlags) stream(ctx context.Context, method, path string, body []byte, read func(io.Reader) error) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	url := f.Admin
	if !strings.Contains(url, "://") {
		if strings.HasPrefix(url, ":") {
			url = "127.0.0.1" + url
		}
		url = "http://" + url
	}
	if !strings.HasPrefix(path, "/") {
		path = "/api/v1/" + path
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("--admin %s is no address: write host:port: %w", f.Admin, errUse)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", admin.MsgType)
	}
	if f.TokenFile != "" {
		token, err := os.ReadFile(f.TokenFile)
		if err != nil {
			return fmt.Errorf("token file: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no running proxy answers at %s: start isthmus serve, or name its admin.listen with --admin: %w", f.Admin, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return read(resp.Body)
	}
	var e admin.Error
	if json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&e) != nil || e.Error == "" {
		e.Error = fmt.Sprintf("%s answers %s: check --admin", f.Admin, resp.Status)
	}
	return &errAdmin{resp.StatusCode, e.Error}
}

func (f *adminFlags) client() (*http.Client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	cas, err := certificates(f.CAFile)
	if err != nil {
		return nil, err
	}
	t.RootCAs = pool(cas)
	if (f.CertFile == "") != (f.KeyFile == "") {
		return nil, fmt.Errorf("--cert-file and --key-file belong together: give both: %w", errUse)
	}
	if f.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s: %w", f.CertFile, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: t}}, nil
}
