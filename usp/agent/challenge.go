package agent

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/usp"
)

const (
	challengeTable = trustObject + "Challenge."
	maxChallenges  = 16
	// maxInstruction and maxPassphrase bound the base64 of an Instruction and of a Value.
	maxInstruction = 16 << 10
	maxPassphrase  = 1 << 10
	// maxRetries is the most that Retries can be (R-SEC.16).
	maxRetries = 100

	requestChallengeCommand  = "RequestChallenge()"
	challengeResponseCommand = "ChallengeResponse()"

	// defaultExpiration is how long a challenge waits for its answer if the Controller does not say.
	defaultExpiration = 900

	// In a Challenge: what its Value comes to, how often it was answered wrongly in a row, and until when it is locked.
	secretKey = ".secret"
	failedKey = ".failed"
	lockedKey = ".locked"
	// In a Controller: the challenge that it has to answer, and until when.
	challengeKey   = ".challenge"
	challengeIDKey = ".challengeID"
	expiresKey     = ".expires"

	// A Value is kept as what PBKDF2 makes of it, which is slow enough that whoever gets hold of the store does not get at a PIN for nothing.
	secretSalt   = 16
	secretRounds = 100_000
)

// challengeTables are what Controllers can be asked to get a Role. There is none before a Controller that may has made one: a factory default would have
// to be printed on something (R-SEC.14).
var challengeTables = []*table{
	{ObjectDef: ObjectDef{Path: challengeTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}}},
		limit: maxChallenges, count: "ChallengeNumberOfEntries", columns: []column{
			alias(),
			text("Description", "", 0),
			roles("Role"),
			flag("Enable"),
			oneOf(text("Type", "Passphrase", 0), "Passphrase"),
			secret("Value", maxPassphrase),
			oneOf(text("ValueType", "text/plain", 0), "text/plain", "image/jpeg"),
			binaryText("Instruction", maxInstruction),
			oneOf(text("InstructionType", "text/plain", 0), "text/plain", "image/jpeg", "text/html"),
			number("Retries", "3", 1, maxRetries),
			checked(column{ParamDef: ParamDef{Name: "LockoutPeriod", Type: TypeInt, Writable: true}, initial: "30"}, notNegative),
		}},
}

// binaryText is a base64 value of at most a length.
func binaryText(name string, most int) column {
	return checked(column{ParamDef: ParamDef{Name: name, Type: TypeBase64, Writable: true}}, func(value string) error {
		if len(value) > most {
			return usp.Errorf(usp.InvalidValue, "%s is longer than %d characters", name, most)
		}
		return nil
	})
}

// secret is one that is never read.
func secret(name string, most int) column {
	c := quiet(binaryText(name, most))
	c.Secured = true
	return c
}

func notNegative(value string) error {
	if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
		return usp.Errorf(usp.InvalidValue, "%s is negative", value)
	}
	return nil
}

// conceal keeps what a secret comes to; one that has to be shown to somebody else, as it is.
func (t *tx) conceal(path string, c *column, value string) *usp.Error {
	if c.hidden != "" {
		t.put(path, c.hidden, value)
		return nil
	}
	kept := ""
	if value != "" {
		salt := make([]byte, secretSalt)
		_, _ = rand.Read(salt) // it does not fail
		sum, err := derive(value, salt)
		if err != nil {
			return usp.AsError(err)
		}
		kept = base64.StdEncoding.EncodeToString(append(salt, sum...))
	}
	t.rows.put(path, map[string]string{secretKey: kept})
	t.changed[path] = true
	return nil
}

// derive takes base64 that was checked.
func derive(value string, salt []byte) ([]byte, error) {
	plain, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("decode a secret: %w", err)
	}
	return pbkdf2.Key(sha256.New, string(plain), salt, secretRounds, sha256.Size)
}

// matches compares a secret with what is kept of one.
func matches(kept, value string) bool {
	b, err := base64.StdEncoding.DecodeString(kept)
	if err != nil || len(b) <= secretSalt {
		return false
	}
	sum, err := derive(value, b[:secretSalt])
	return err == nil && subtle.ConstantTimeCompare(sum, b[secretSalt:]) == 1
}

// challenged gives the row of a Controller that a challenge may give a Role.
func (x *exchange) challenged(rs *rowSet) (string, error) {
	row := rs.controller(x.from)
	switch {
	case x.stranger:
		return "", errStranger
	case row == "":
		return "", usp.Errorf(usp.RequestDenied, "only a Controller that is in the Controller table can get a Role")
	case rs.values[row][fleetMark] != "":
		return "", usp.Errorf(usp.RequestDenied, "the configuration says what the Role of this Controller is")
	}
	return row, nil
}

// locked says whether a Challenge is; a lock that is over starts the count of failures anew.
func (t *tx) locked(challenge string) bool {
	until, ok := parseTime(t.rows.values[challenge][lockedKey])
	if ok && !t.now.Before(until) {
		t.put(challenge, lockedKey, "")
		t.put(challenge, failedKey, "")
	}
	return ok && t.now.Before(until)
}

var errLocked = usp.Errorf(usp.RequestDenied, "the challenge was answered wrongly too often: try again later")

// requestChallenge runs RequestChallenge(). A Controller has one challenge at a time, and only one that it can see.
func (x *exchange) requestChallenge(ctx context.Context, args map[string]string) (map[string]string, error) {
	expiration := uint64(defaultExpiration)
	if s, given := args["RequestExpiration"]; given {
		var err error
		if expiration, err = strconv.ParseUint(s, 10, 31); err != nil {
			return nil, usp.Errorf(usp.InvalidCommandArguments, "RequestExpiration must be from 0 to %d", 1<<31-1)
		}
	}
	ref := args["ChallengeRef"]
	if strings.Contains(ref, "[") {
		row, err := x.numberedItem(ctx, ref)
		switch {
		case err != nil && !isArgumentError(err.Code):
			return nil, err
		case err != nil:
			return nil, usp.Errorf(usp.InvalidCommandArguments, "ChallengeRef: %s", err.Msg)
		}
		ref = row
	}
	c := strings.TrimSuffix(ref, ".") + "."
	var out map[string]string
	err := x.a.update(ctx, x.from, func(t *tx) error {
		row, err := x.challenged(t.rows)
		if err != nil {
			return err
		}
		if table, n := splitRow(c); table != challengeTable || n == 0 || !t.exists(c) || !t.rows.is(c, "Enable") || t.rows.values[c][secretKey] == "" ||
			!x.may.allows(params, mayRead, c+aliasName) {
			return usp.Errorf(usp.InvalidCommandArguments, "%s is no challenge", ref)
		}
		other := t.rows.values[row][challengeKey]
		switch {
		case t.locked(c):
			return errLocked
		case other != "" && other != c && t.exists(other) && !t.lapsed(row):
			return usp.Errorf(usp.RequestDenied, "%s is not answered yet", other)
		}
		expires := ""
		if expiration > 0 {
			expires = t.now.Add(time.Duration(expiration) * time.Second).UTC().Format(time.RFC3339Nano)
		}
		id := rand.Text()
		t.put(row, challengeKey, c)
		t.put(row, challengeIDKey, id)
		t.put(row, expiresKey, expires)
		out = map[string]string{"ChallengeID": id, "Instruction": t.rows.get(c, "Instruction"), "InstructionType": t.rows.get(c, "InstructionType"),
			"ValueType": t.rows.get(c, "ValueType")}
		return nil
	})
	return out, err
}

// lapsed says that nobody waits any more for a Controller to answer its challenge.
func (t *tx) lapsed(controller string) bool {
	until, ok := parseTime(t.rows.values[controller][expiresKey])
	return ok && !t.now.Before(until)
}

// challengeResponse runs ChallengeResponse(). A wrong answer is counted before it is told.
func (x *exchange) challengeResponse(ctx context.Context, args map[string]string) error {
	if len(args["Value"]) > maxPassphrase {
		return usp.Errorf(usp.InvalidCommandArguments, "Value is longer than %d characters", maxPassphrase)
	}
	if _, err := base64.StdEncoding.DecodeString(args["Value"]); err != nil {
		return usp.Errorf(usp.InvalidCommandArguments, "Value is no base64")
	}
	var failure error
	err := x.a.update(ctx, x.from, func(t *tx) error {
		row, err := x.challenged(t.rows)
		if err != nil {
			return err
		}
		c := t.rows.values[row][challengeKey]
		switch {
		case c == "" || t.rows.values[row][challengeIDKey] != args["ChallengeID"] || t.lapsed(row) || !t.exists(c) || !t.rows.is(c, "Enable"):
			return usp.Errorf(usp.InvalidArguments, "there is no such challenge to answer")
		case t.locked(c):
			return errLocked
		case matches(t.rows.values[c][secretKey], args["Value"]):
			t.pass(row, c)
		default:
			failure = t.fail(c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return failure
}

// pass gives a Controller the Roles of a Challenge, in the place of UntrustedRole.
func (t *tx) pass(row, challenge string) {
	untrusted := t.rows.get(trustObject, "UntrustedRole")
	assigned := slices.DeleteFunc(splitList(t.rows.get(row, "AssignedRole")), func(r string) bool { return r == untrusted })
	for _, r := range splitList(t.rows.get(challenge, "Role")) {
		if !slices.Contains(assigned, r) {
			assigned = append(assigned, r)
		}
	}
	t.put(row, "AssignedRole", strings.Join(assigned, ","))
	for _, key := range []string{challengeKey, challengeIDKey, expiresKey} {
		t.put(row, key, "")
	}
	t.put(challenge, failedKey, "")
}

// fail counts a wrong answer; as many in a row as Retries, whoever gave them, lock the Challenge for LockoutPeriod (R-SEC.16, R-SEC.17).
func (t *tx) fail(challenge string) *usp.Error {
	failed := number32(t.rows.values[challenge][failedKey]) + 1
	t.put(challenge, failedKey, itoa(failed))
	if period := t.rows.number(challenge, "LockoutPeriod"); uint64(failed) >= t.rows.number(challenge, "Retries") {
		if period == 0 {
			t.put(challenge, failedKey, "")
		} else {
			t.put(challenge, lockedKey, t.now.Add(time.Duration(period)*time.Second).UTC().Format(time.RFC3339Nano))
		}
	}
	return usp.Errorf(usp.CommandFailure, "the answer is wrong")
}
