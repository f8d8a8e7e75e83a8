package agent

// difference is one between this Agent and the reference Agent: lines that only this one (+) or only that one (-) says, as a regular expression, in
// the sections of the transcripts that begin so, and why that is right.
type difference struct{ where, line, why string }

var differs = []difference{
	// What an Agent has. GetSupportedDM lists what works, which other tests prove.
	{"02", `[+].*result_params:(Credential|OnBoarding.*|Order)`, "Controller rows have what Device:2.19 has besides and this Agent acts by"},
	{"02", `[+].*/Device.LocalAgent.Controller[.][^/]*E2ESession[.].*`, "this Agent has session contexts"},
	{"02", `[+].*/Device.LocalAgent.Controller[.][^/]*TransferCompletePolicy[.].*`, "this Agent has policies for TransferComplete!"},
	{"02", `[+].*/Device.LocalAgent.Controller.{i}[.]/AddMyCertificate.*`, "a Controller of this Agent can add a certificate of its own"},
	{"05/1/10", `-disconnect 7106`, "this Agent has session contexts"},
	{"02", `-.*Controller.1.MTP.1.(CoAP|MQTT|STOMP|UDS)\..*`, "that Controller has no such MTPs; CoAP was deleted in Device:2.18"},
	{"02/1/13", `[+-].*/Device\.(BulkData|Security|USPServices|UnixDomainSockets|X)\.`, "what the device behind the Agent has"},
	{"02/1/14", `[+].*/Trigger(Action|ConfigSettings)(/.*)?`, "Device:2.16 has triggers, and so has this Agent"},
	{"02/1/15", `[+].*/[?](/key_names=.*)?`, "TP-469 1.75 and the specification's example give unique_key_sets of the child tables too"},
	{"08/1/02", `[+]/get_supported_dm_resp/Device./.*`, "what this Agent, or the device of this test, has and the other has not, and what may be changed here: certificates, roles, banned role"},
	{"08/1/02", `-/get_supported_dm_resp/Device./Device.(BulkData|MQTT|STOMP|USPServices|UnixDomainSockets|Security|DeviceInfo|Time)\..*`, "what the device behind the Agent has"},
	{"08/1/02", `-/get_supported_dm_resp/Device./Device./(FactoryReset|SelfTestDiagnostics).*`, "what the device behind the Agent can do"},
	{"08/1/02", `-.*/Device.LocalAgent.*(/X_.*|\.(CoAP|MQTT|STOMP|UDS)\..*|/(RequestChallenge|ChallengeResponse|ChallengeNumber).*|\.Challenge\..*)`, "vendor's, other MTPs, and challenges, which R-SEC.13 leaves optional"},
	{"08/1/02", `-.*/Device.LocalAgent.MTP.{i}.*`, "one listener serves all Agents, so that where Controllers dial in is the operator's to say"},
	{"08/1/02", `-.*/CurrentRetryCount/value_change=1`, "a ValueChange of a count of attempts helps nobody"},
	{"08/1/02", `-.*/Device.LocalAgent.Request.{i}./Alias/access=1`, "nobody makes Request rows by Add, so nobody can write their Alias"},
	{"08/1/02", `-.*/Device.LocalAgent./UpTime/value_change=1`, "a ValueChange of the uptime every second helps nobody"},
	{"08/1/03", `[+-]/get_resp/Device./Device\..*`, "the rows that there happen to be, and the parameters compared in 02"},

	// Versions and names.
	{"01/1/02", `[+-].*/agent_supported_protocol_versions=.*`, "this Agent speaks 1.4"},
	{"04/notify", `[+-].*/on_board_req .*`, "the product class and versions of this Agent"},
	{"02/1/10", `-.*AssignedRole[+].Name=="Full Access".*`, "the role is called full_access here"},

	// Messages.
	{"02/1/10", `[+-].*AssignedRole#1[+].Name/.*`, "#1 is the first item of a list of references (R-ARC, List of References)"},
	{"02/1/11", `[+].*Device.DeviceInfo./err_code=7018`, "GetInstances of what is no table is an error; the other one does it from 11.0.6 on"},
	{"02/1/12", `[+-].*/Device.LocalAgent./.*`, "the same"},
	{"03/1/05", `[+-].*`, "rows of Controller.{i}.MTP. come from the configuration and cannot be added"},
	{"03/1/14", `[+].*Controller.99\..*`, "the Error names the path in param_errs as well"},
	{"03/1/15", `[+-].*/EndpointID/err_code=70(13|25)`, "the configuration names this Controller, so that it cannot be changed is found first"},
	{"03/1/15", `[+-].*Subscription.1./ID/err_code=70(04|13)`, "a key that cannot be changed any more is a non-writable parameter, 7013"},
	{"03/1/15", `[+-].*updated_params:Enable=(1|true)`, "booleans are kept, and told, in canonical form"},
	{"03/1/18", `[+-].*Device.DeviceInfo./.*err_code=701[89]`, "7019 is not among the codes of Delete"},
	{"03/notify", `[+].*Controller.2.ProvisioningCode .*`, "a change that the next one undoes before a poll is a change all the same; it is told at once here"},
	{"04/1/10", `[+-].*`, "the device of this test has no such command"},
	{"04/notify", `-.*SelfTestDiagnostics.*`, "the same"},
	{"04/1/11", `[+-].*/err_code=70(04|11)`, "7011 is not among the codes of Operate"},
	{"04/1/1[67]", `[+-].*Device.LocalAgent.Request.[13].*`, "an instance number is not used again (R-ARC.8)"},
	{"04/notify", `[+-].*event_name=Boot! .*(boot-1|ev)`, "Boot! that is raised by hand has no Reason there"},
	{"05/notify", `-.*event_name=Boot! .*boot-1`, "the same"},
	{"05/1/04", `[+-].*`, "the body counts, whatever the header says (R-MSG.10)"},
	{"05/1/05", `-.*`, "a request without msg_id cannot be answered (R-MTP.5)"},
	{"05/1/07", `[+-]/err_code=700[12]`, "an Agent does not take a Notify: message not supported (R-MSG.1)"},
	{"05/[12]", `[+]connect`, "the channel stays, and the Connect Record comes again after a Disconnect (R-MTP.6, R-MTP.8)"},
	{"05/2/02", `[+-]disconnect 710[24]`, "secure messages are not supported at all, which has a code of its own"},
	{"05/3/02", `-disconnect 7105`, "a Disconnect asks for no answer (R-MTP.7)"},
}

// referenceTree is the part of the reference Agent's data model that is not its own, as far as the transcripts ask for it.
func referenceTree() *tree {
	t := newTree()
	objects := append([]*ObjectDef{}, treeModel.Objects()...)
	objects = append(objects,
		&ObjectDef{Path: "Device.Time.", Params: []ParamDef{{Name: "CurrentLocalTime", Type: TypeDateTime}, rw("LocalTimeZone", TypeString)}},
		&ObjectDef{Path: "Device.STOMP.Connection.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}}, Params: []ParamDef{rw("Alias", TypeString), rw("Host", TypeString)}},
		&ObjectDef{Path: "Device.MQTT.Client.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}}, Params: []ParamDef{rw("Alias", TypeString)},
			Commands: []CommandDef{{Name: "ForceReconnect()"}}})
	t.model = NewModel(objects)
	t.values["Device.Time."] = map[string]string{"CurrentLocalTime": "2026-11-22T20:26:14Z", "LocalTimeZone": ""}
	return t
}
