package agent

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"hash"
	"maps"
	"slices"
	"strings"

	"isthmus/usp"
)

const (
	certificateTable = ownRoot + "Certificate."

	addCertificateCommand    = "AddCertificate()"
	addMyCertificateCommand  = "AddMyCertificate()"
	deleteCertificateCommand = "Delete()"
	fingerprintCommand       = "GetFingerprint()"

	// maxCertificates is how many certificates Controllers may add to one Agent, maxCertificate the length of one in bytes of DER.
	maxCertificates = 32
	maxCertificate  = 16 << 10

	provesKey = ".proves" // in a Certificate of the configuration: the Controllers that it may prove the identity of, separated by blanks
	anybody   = "*"       // any Controller
	derKey    = ".der"    // in a Certificate that a Controller added: its DER in base64
)

// fingerprints are the algorithms of GetFingerprint(). SHA-1 is not among them: two certificates can be made to share one.
var fingerprints = map[string]func() hash.Hash{"SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New}

var fingerprintNames = strings.Join(slices.Sorted(maps.Keys(fingerprints)), ",")

// certificateTables are the certificates that an Agent knows: those of the configuration and those that Controllers have added.
var certificateTables = []*table{
	{ObjectDef: ObjectDef{Path: certificateTable + "{i}.", Multi: true, Keys: [][]string{{"Alias"}, {"SerialNumber", "Issuer"}},
		Commands: []CommandDef{{Name: deleteCertificateCommand}, {Name: fingerprintCommand, In: []string{"FingerprintAlgorithm"},
			Mandatory: []string{"FingerprintAlgorithm"}, Out: []string{"Fingerprint"}}}},
		count: "CertificateNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			shown(text("SerialNumber", "", 64)),
			shown(text("Issuer", "", 256)),
		}},
}

// certificateRow is the row of a certificate. Its number follows from the certificate, so that what refers to it never comes to mean another one,
// whatever the configuration has before it.
func certificateRow(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return certificateTable + itoa(max(1, binary.BigEndian.Uint32(sum[:])>>1)) + "."
}

func certificateValues(cert *x509.Certificate) map[string]string {
	return map[string]string{"Enable": "true", "SerialNumber": strings.ToUpper(cert.SerialNumber.Text(16)), "Issuer": usp.ValidUTF8(cert.Issuer.String())}
}

// addCertificates makes the rows of the configuration's certificates. What each is trusted for is marked in it: any Controller, or those named.
func (f *Fleet) addCertificates(opts Options) {
	for _, cert := range opts.CAs {
		f.addCertificate(cert, anybody)
	}
	for i := range opts.Controllers {
		for _, cert := range opts.Controllers[i].CAs {
			f.addCertificate(cert, string(opts.Controllers[i].EndpointID))
		}
	}
}

func (f *Fleet) addCertificate(cert *x509.Certificate, whom string) {
	path := certificateRow(cert)
	if f.certificates[path] == nil {
		_, n := splitRow(path)
		values := certificateValues(cert)
		values["Alias"], values[fleetMark] = "cpe-"+itoa(n), "1"
		f.base.put(path, values)
		f.certificates[path] = cert
	}
	f.base.put(path, map[string]string{provesKey: f.base.values[path][provesKey] + " " + whom})
}

// certificate gives what a row stands for; nil where what was kept cannot be read, which then is trusted by nobody.
func (rs *rowSet) certificate(f *Fleet, path string) *x509.Certificate {
	if cert := f.certificates[path]; cert != nil {
		return cert
	}
	der, err := base64.StdEncoding.DecodeString(rs.values[path][derKey])
	if err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert
}

// addCertificate runs AddCertificate(). A certificate that was added is known and not yet trusted: something has to refer to it for that.
func (x *exchange) addCertificate(ctx context.Context, args map[string]string) error {
	cert, err := parseCertificate(args["Certificate"])
	if err != nil {
		return err
	}
	return x.a.update(ctx, x.from, func(t *tx) error { return t.addCertificate(cert, args) })
}

// addMyCertificate runs AddMyCertificate(), by which the Controller of a row, and nobody else, adds a certificate that proves its own identity.
func (x *exchange) addMyCertificate(ctx context.Context, row string, args map[string]string) error {
	cert, err := parseCertificate(args["Certificate"])
	if err != nil {
		return err
	}
	return x.a.update(ctx, x.from, func(t *tx) error {
		if x.from == "" || t.rows.get(row, "EndpointID") != string(x.from) {
			return usp.Errorf(usp.PermissionDenied, "only the Controller itself can add a certificate of its own")
		}
		if err := t.addCertificate(cert, args); err != nil {
			return err
		}
		mine := append(splitList(t.rows.get(row, "Credential")), strings.TrimSuffix(certificateRow(cert), "."))
		if _, err := t.set([]Write{{Path: row + "Credential", Value: strings.Join(mine, ",")}}); err != nil {
			return usp.Errorf(usp.CommandFailure, "%s", err.Msg)
		}
		return nil
	})
}

func parseCertificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) != 0 {
		return nil, usp.Errorf(usp.InvalidCommandArguments, "Certificate is not one certificate in PEM")
	}
	if len(block.Bytes) > maxCertificate {
		return nil, usp.Errorf(usp.ResourcesExceeded, "the certificate is longer than %d bytes", maxCertificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, usp.Errorf(usp.InvalidCommandArguments, "Certificate cannot be read as X.509")
	}
	return cert, nil
}

func (t *tx) addCertificate(cert *x509.Certificate, args map[string]string) error {
	def := byPath[certificateTable+"{i}."]
	added := 0
	for _, p := range t.rows.instances(certificateTable) {
		if t.rows.values[p][fleetMark] == "" {
			added++
		}
	}
	if added >= maxCertificates {
		return usp.Errorf(usp.ResourcesExceeded, "%d certificates were added already", added)
	}
	path := certificateRow(cert)
	if t.exists(path) {
		return usp.Errorf(usp.CommandFailure, "the certificate is there already as %s", path)
	}
	values := certificateValues(cert)
	for _, name := range []string{"SerialNumber", "Issuer"} {
		if _, err := def.column(name).accept(values[name]); err != nil {
			return usp.Errorf(usp.InvalidCommandArguments, "Certificate: %s", err.Msg)
		}
	}
	if name, given := args[aliasName]; given {
		alias, err := def.column(aliasName).accept(name)
		if err != nil || !startsWithLetter(alias) {
			return usp.Errorf(usp.InvalidCommandArguments, "Alias must start with a letter and have at most %d characters", def.column(aliasName).most)
		}
		values[aliasName] = alias
	}
	values[derKey] = base64.StdEncoding.EncodeToString(cert.Raw)
	t.rows.put(path, values)
	_, n := splitRow(path)
	t.generate(def, path, n)
	if bad := t.check([]string{path}); len(bad) > 0 {
		return usp.Errorf(usp.CommandFailure, "%s", bad[0].Msg)
	}
	t.changed[path] = true
	t.raised = append(t.raised, &ObjectCreation{Path: path, Keys: t.keys(def, path)})
	t.counted(def, certificateTable, 1)
	return nil
}

// deleteCertificate runs Delete(): what refers to the certificate does not any more.
func (x *exchange) deleteCertificate(ctx context.Context, path string) error {
	return x.a.update(ctx, x.from, func(t *tx) error {
		switch {
		case !t.exists(path):
			return usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", path)
		case t.rows.values[path][fleetMark] != "":
			return usp.Errorf(usp.CommandFailure, "the configuration has this certificate")
		}
		t.clearReferences(path)
		t.drop(path)
		return nil
	})
}

// fingerprint runs GetFingerprint().
func (x *exchange) fingerprint(path, algorithm string) (map[string]string, error) {
	algo := fingerprints[algorithm]
	if algo == nil {
		return nil, usp.Errorf(usp.InvalidCommandArguments, "FingerprintAlgorithm must be one of %s", fingerprintNames)
	}
	cert := x.a.rows().certificate(x.a.fleet, path)
	if cert == nil {
		return nil, usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", path)
	}
	h := algo()
	h.Write(cert.Raw)
	return map[string]string{"Fingerprint": strings.ToUpper(hex.EncodeToString(h.Sum(nil)))}, nil
}
