package translate

import (
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// A CPE that takes firmware and has no table of it, of either data model, is shown with one image, which is what it runs; after a Download it runs
// another. It has no Activate().
func TestOneImage(t *testing.T) {
	for name, tree := range map[string]*cpe.Tree{"InternetGatewayDevice": cpe.IGD()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			url, _ := files(t)
			_, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = tree })
			w.watch(id)
			w.subscribe(id, "version", "ValueChange", imageRow+"Version", map[string]string{"Persistent": "true"})
			before, err := w.get(id, softwareVersion)
			w.must(err)
			w.want(id, imageRow+"Version", before[softwareVersion])
			w.want(id, "Device.DeviceInfo.ActiveFirmwareImage", strings.TrimSuffix(imageRow, "."))
			got, err := w.get(id, imageTable)
			w.must(err)
			if len(got) != 4 || got[imageRow+"Status"] != "Active" || got[imageRow+"Available"] != "true" {
				t.Errorf("%v", got)
			}
			all, err := w.get(id, "Device.DeviceInfo.")
			w.must(err)
			if all[imageRow+"Version"] == "" || all["Device.DeviceInfo.FirmwareImageNumberOfEntries"] != "1" || all[softwareVersion] == "" {
				t.Errorf("%v", all)
			}
			resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{imageTable}, ReturnCommands: true, ReturnParams: true}}})
			w.must(err)
			objs := resp.GetGetSupportedDmResp().GetReqObjResults()[0].GetSupportedObjs()
			if len(objs) != 1 || len(objs[0].GetSupportedCommands()) != 1 || len(objs[0].GetSupportedParams()) != 4 {
				t.Errorf("%v", objs)
			}
			w.restart(func(*Options) {})
			later := firmware(url)
			later["AutoActivate"] = "false"
			if f := w.command(id, imageRow+"Download()", "later", later).GetCmdFailure(); f.GetErrCode() != uint32(usp.InvalidArguments) {
				t.Errorf("an image to be kept: %v", f)
			}
			w.begin(id, imageRow+"Download()", "fw", firmware(url))
			w.notified(1, completed("fw"))
			w.notified(1, bootEvent)
			w.want(id, imageRow+"Version", "2.0.0")
			w.notified(1, changeOf(imageRow+"Version"))
		})
	}
	w := newWorld(t, nil)
	_, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.IGD()
		cfg.Faults.Answer = func(_, response cwmp.RPC) cwmp.RPC {
			if m, ok := response.(*cwmp.GetRPCMethodsResponse); ok {
				return &cwmp.GetRPCMethodsResponse{MethodList: m.MethodList[:8]}
			}
			return response
		}
	})
	if got, err := w.get(id, imageTable); err == nil {
		t.Errorf("a CPE that takes no firmware: %v", got)
	}
}
