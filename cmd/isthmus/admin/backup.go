package admin

import (
	"context"
	"io"
	"net/http"
	"time"
)

// BackupType is the content type of a backup.
const BackupType = "application/vnd.isthmus.backup"

// backupPatience is how long the receiver of a backup may take nothing of it.
const backupPatience = 30 * time.Second

// Backup writes the store's state of one moment, a self-checking stream, and says how many devices are in it.
type Backup func(ctx context.Context, w io.Writer) (devices int, err error)

// backup gives the store as it is now. It is a POST, which no page of another site can send unseen. What fails after the first byte
// breaks the connection off: a backup without its end is none.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	if !s.backingUp.TryLock() {
		w.Header().Set("Retry-After", "60")
		fail(w, http.StatusConflict, "another backup is being made: try again when it is done")
		return
	}
	defer s.backingUp.Unlock()
	w.Header().Set("Content-Type", BackupType)
	out := &patient{w: w, rc: http.NewResponseController(w)}
	start := time.Now()
	devices, err := s.opts.Backup(r.Context(), out)
	s.audit(r, "backup", "", err, "devices", devices, "bytes", out.n, "duration", time.Since(start).Round(time.Millisecond))
	switch {
	case err == nil:
	case out.n == 0:
		fail(w, http.StatusInternalServerError, "the backup failed: see the log of isthmus")
	default:
		panic(http.ErrAbortHandler)
	}
}

// patient gives each write a deadline of its own: a whole backup has none.
type patient struct {
	w  io.Writer
	rc *http.ResponseController
	n  int64
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	p.n += int64(n)
	return n, err
}
