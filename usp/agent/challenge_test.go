package agent

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// seeker is a Controller that another has added, with the untrusted Role, which lets it see what challenges there are.
func seeker(r *rig) *rig {
	r.t.Helper()
	r.added(obj{roleTable + "2.Permission.", []param{req("Enable", "true"), req("Obj", "r---"), req("InstantiatedObj", "r---"), req("Targets", challengeTable)}})
	r.added(obj{roleTable + "2.Permission.", []param{req("Enable", "true"), req("Param", "r---"),
		req("Targets", challengeTable+"*.Alias,"+challengeTable+"*.Description")}})
	r.added(obj{roleTable + "2.Permission.", []param{req("Enable", "true"), req("CommandEvent", "r-x-"),
		req("Targets", trustObject+requestChallengeCommand+","+trustObject+challengeResponseCommand)}})
	r.added(obj{controllerTable, []param{req("EndpointID", "self::seeker"), req("Enable", "true")}})
	return r.as("self::seeker")
}

// as is the same Agent as another Controller, connected too, sees it.
func (r *rig) as(id usp.EndpointID) *rig {
	r.t.Helper()
	s := *r
	s.w, s.who = newWire(id), id
	s.a.Up(s.w)
	if rec := s.next(); rec.GetWebsocketConnect() == nil {
		r.t.Fatalf("first record is %v", rec)
	}
	return &s
}

func (r *rig) challenge(ref string, args ...string) *usppb.OperateResp_OperationResult {
	r.t.Helper()
	return r.ask(operateReq(trustObject+requestChallengeCommand, "", true, append(args, "ChallengeRef", ref)...)).GetResponse().GetOperateResp().GetOperationResults()[0]
}

// reply answers a challenge and gives "ok" or the code.
func (r *rig) reply(id, passphrase string) string {
	r.t.Helper()
	return r.operated(operateReq(trustObject+challengeResponseCommand, "", true, "ChallengeID", id, "Value", base64.StdEncoding.EncodeToString([]byte(passphrase))))[0]
}

func challengeOf(passphrase string, more ...param) obj {
	return obj{challengeTable, append([]param{req("Enable", "true"), req("Role", roleTable+"1"), req("Description", "Everything"),
		req("Value", base64.StdEncoding.EncodeToString([]byte(passphrase))), req("Instruction", base64.StdEncoding.EncodeToString([]byte("Say it")))}, more...)}
}

// R-SEC.13: who answers a challenge gets its Role in the place of the untrusted one.
func TestChallenge(t *testing.T) {
	r := newRig(t)
	s := seeker(r)
	c := r.added(challengeOf("open sesame"))
	row := controllerTable + "3."
	equal(t, s.get(challengeTable), c+"Alias=cpe-1\n"+c+"Description=Everything")
	res := s.challenge(challengeTable + `[Alias=="cpe-1"].`).GetReqOutputArgs().GetOutputArgs()
	id := res["ChallengeID"]
	equal(t, res["Instruction"]+res["InstructionType"]+res["ValueType"], base64.StdEncoding.EncodeToString([]byte("Say it"))+"text/plaintext/plain")
	equal(t, s.reply(id, "open barley"), "7022")
	equal(t, s.reply("another", "open sesame"), "7004")

	r.stop() // a restart of the process changes nothing
	r.start()
	r.connect()
	s.a = r.a
	s = s.as("self::seeker")
	equal(t, s.reply(id, "open sesame"), "ok")
	equal(t, r.get(row+"AssignedRole"), row+"AssignedRole="+roleTable+"1")
	equal(t, s.reply(id, "open sesame"), "7004") // once
	equal(t, s.get(row+"Enable"), row+"Enable=true")

	// More Roles join those that it has.
	r.added(obj{roleTable, []param{req("Name", "more")}})
	r.added(challengeOf("again", req("Role", roleTable+"1,"+roleTable+"3")))
	equal(t, s.reply(s.challenge(challengeTable + "2").GetReqOutputArgs().GetOutputArgs()["ChallengeID"], "again"), "ok")
	equal(t, r.get(row+"AssignedRole"), row+"AssignedRole="+roleTable+"1,"+roleTable+"3")
}

// The Value is in no answer, notification or record.
func TestChallengeValueIsNeverRead(t *testing.T) {
	r := newRig(t)
	r.ask(addReq(false, obj{subscriptionTable, []param{req("Enable", "true"), req("ID", "s"), req("NotifType", valueChange), req("ReferenceList", challengeTable+"*.Value,"+challengeTable+"*.Description")}}))
	c := r.added(challengeOf("first"))
	r.ask(setReq(false, obj{trustObject, []param{req("SecuredRoles", roleTable+"1")}}))
	secret := base64.StdEncoding.EncodeToString([]byte("second"))
	resp := r.ask(setReq(false, obj{c, []param{req("Value", secret)}}))
	equal(t, resp.GetResponse().GetSetResp().GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetUpdatedParams()["Value"], "")
	equal(t, r.get(c+"Value"), c+"Value=")
	equal(t, r.get(challengeTable+`[Value=="`+secret+`"].Alias`), "")
	r.ask(setReq(false, obj{c, []param{req("Description", "x")}}))
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetValueChange().GetParamPath(), c+"Description") // and nothing before it
	records, err := r.keep.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if strings.Contains(string(rec.Data), secret) || strings.Contains(string(rec.Data), "second") {
			t.Errorf("%s", rec.Data)
		}
	}
	wantError(t, r.ask(setReq(false, obj{c, []param{req("Value", "?")}})), 7004, c+"Value 7011")
	wantError(t, r.ask(setReq(false, obj{c, []param{req("Value", strings.Repeat("AAAA", maxPassphrase))}})), 7004, c+"Value 7012")
	wantError(t, r.ask(setReq(false, obj{c, []param{req("LockoutPeriod", "-1"), req("Retries", "0")}})), 7004, c+"LockoutPeriod 7012", c+"Retries 7012")
}

// R-SEC.16, R-SEC.17: so many wrong answers in a row, whoever gives them, and the challenge is locked for a while.
func TestChallengeLockout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		s := seeker(r)
		r.added(obj{controllerTable, []param{req("EndpointID", "self::second"), req("Enable", "true")}})
		other := s.as("self::second")
		r.added(challengeOf("right", req("Retries", "3"), req("LockoutPeriod", "60")))
		ask := func(r *rig) string {
			return r.challenge(challengeTable + "1").GetReqOutputArgs().GetOutputArgs()["ChallengeID"]
		}
		one, two := ask(s), ask(other)
		equal(t, s.reply(one, "x")+other.reply(two, "y")+s.reply(one, "z"), "702270227022")
		equal(t, s.reply(one, "right"), "7002")
		equal(t, other.challenge(challengeTable+"1").GetCmdFailure().GetErrCode(), 7002)
		r.stop() // it is locked over a restart of the process, too
		r.start()
		r.connect()
		s.a = r.a
		s = s.as("self::seeker")
		equal(t, s.reply(one, "right"), "7002")
		time.Sleep(time.Minute)
		equal(t, s.reply(one, "x")+s.reply(one, "x"), "70227022") // the count has begun anew
		equal(t, s.reply(one, "right"), "ok")
	})
}

// RequestExpiration, and one challenge at a time.
func TestChallengeExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.stop()
		s := seeker(r)
		r.added(challengeOf("a"))
		r.added(challengeOf("b"))
		id := s.challenge(challengeTable+"1", "RequestExpiration", "30").GetReqOutputArgs().GetOutputArgs()["ChallengeID"]
		equal(t, s.challenge(challengeTable+"2").GetCmdFailure().GetErrCode(), 7002)
		again := s.challenge(challengeTable+"1", "RequestExpiration", "30").GetReqOutputArgs().GetOutputArgs()["ChallengeID"]
		equal(t, s.reply(id, "a"), "7004") // there is a new one
		time.Sleep(30 * time.Second)
		equal(t, s.reply(again, "a"), "7004")
		forever := s.challenge(challengeTable+"2", "RequestExpiration", "0").GetReqOutputArgs().GetOutputArgs()["ChallengeID"]
		time.Sleep(48 * time.Hour)
		equal(t, s.reply(forever, "b"), "ok")
	})
}

func TestChallengeRefuses(t *testing.T) {
	r := newRig(t)
	s := seeker(r)
	r.added(challengeOf("a", req("Enable", "false")))
	r.added(obj{challengeTable, []param{req("Enable", "true"), req("Role", roleTable+"1")}}) // without a Value
	hidden := r.added(challengeOf("c"))
	r.added(challengeOf("d"))
	r.added(obj{roleTable + "2.Permission.", []param{req("Enable", "true"), req("Targets", hidden), req("Param", "----")}})
	for _, ref := range []string{challengeTable + "1", challengeTable + "2", hidden, challengeTable + "9", challengeTable, roleTable + "1", "", "x["} {
		if code := s.challenge(ref).GetCmdFailure().GetErrCode(); code != 7027 {
			t.Errorf("%q: %d", ref, code)
		}
	}
	equal(t, s.challenge(challengeTable+"1", "RequestExpiration", "-1").GetCmdFailure().GetErrCode(), 7027)
	equal(t, r.challenge(hidden).GetCmdFailure().GetErrCode(), 7002) // the configuration says what its Role is
	fake := *s                                                       // who merely says that it is the Controller
	fake.w = newWire(s.who)
	stranger := unproven{fake.w}
	fake.a.Up(stranger)
	fake.next()
	b, err := usp.EncodeRecord(s.who, agentID, "", usp.NewRequest("m", operateReq(trustObject+requestChallengeCommand, "", true, "ChallengeRef", challengeTable+"4")))
	if err == nil {
		err = fake.a.Receive(stranger, b, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	equal(t, decode(t, fake.next()).GetBody().GetResponse().GetOperateResp().GetOperationResults()[0].GetCmdFailure().GetErrCode(), 7006)
	equal(t, s.challenge(challengeTable+"4").GetReqOutputArgs() != nil, true)
	equal(t, s.operated(operateReq(trustObject+challengeResponseCommand, "", true, "ChallengeID", "", "Value", ""))[0], "7004")
	equal(t, s.operated(operateReq(trustObject+challengeResponseCommand, "", true, "ChallengeID", "", "Value", "?"))[0], "7027")
}
