package agent

import "testing"

// R-ARC.11: references may name rows by their keys; what is written, and read, has instance numbers.
func TestReferencesByKey(t *testing.T) {
	r := newRig(t)
	one := r.added(obj{rowTable, []param{req("ID", "a")}})
	two := r.added(obj{rowTable, []param{req("ID", "b"), req("Ref", rowTable+`[ID=="a"].`)}})
	equal(t, r.get(two+"Ref"), two+"Ref=Device.X.Row.1")
	set := func(value string) param { return req("Ref", value) }
	r.ask(setReq(false, obj{one, []param{set(rowTable + `[ID=="b"]`)}}))
	equal(t, r.get(one+"Ref"), one+"Ref=Device.X.Row.2")
	r.ask(setReq(false, obj{rowTable + "*.", []param{opt("Refs", rowTable+`[ID=="b"],Device.X.Fixed.1,`+rowTable+`[ID=="a"&&Enable==false]`)}}))
	equal(t, r.get(two+"Refs"), two+"Refs=Device.X.Row.2,Device.X.Fixed.1,Device.X.Row.1")

	// None or several, and what is no path.
	for _, v := range []string{rowTable + `[ID=="zzz"]`, rowTable + "[Enable==false]", rowTable + "[ID==]", `Device.Nope.[ID=="a"]`, rowTable + `[Nope=="a"]`} {
		wantError(t, r.ask(setReq(false, obj{one, []param{set(v)}})), 7004, one+"Ref 7012")
		wantError(t, r.ask(addReq(false, obj{rowTable, []param{set(v)}})), 7004, rowTable+"{i}.Ref 7012")
	}
	equal(t, r.get(one+"Ref"), one+"Ref=Device.X.Row.2")
	// A value of a parameter that is no reference is only text.
	r.ask(setReq(false, obj{one, []param{req("ID", `Device.X.Row.[ID=="a"]`)}}))
	equal(t, r.get(one+"ID"), one+`ID=Device.X.Row.[ID=="a"]`)
}

// Who may not read a key cannot find out by a reference what it is.
func TestReferencesByKeyFindWhatMayBeRead(t *testing.T) {
	r := newRig(t)
	row := r.added(obj{rowTable, []param{req("ID", "secret")}})
	other := r.added(obj{rowTable, nil})
	g := invite(r, append(readAll(), req("Param", "rw--")), on(rowTable+"*.ID", "Param", "----"))
	for _, id := range []string{"secret", "wrong"} {
		wantError(t, g.ask(setReq(false, obj{other, []param{req("Ref", rowTable+`[ID=="`+id+`"]`)}})), 7004, other+"Ref 7012")
	}
	g.allow(append(on(row, "Param", "r---"), req("Obj", "r---"), req("InstantiatedObj", "r---"))...)
	equal(t, g.ask(setReq(false, obj{other, []param{req("Ref", rowTable+`[ID=="secret"]`)}})).GetError() == nil, true)
}
