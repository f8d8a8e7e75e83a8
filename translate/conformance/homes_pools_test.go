package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

const poolsDump = `Parameter,Object,Writable,Value,Value type
DeviceID.Manufacturer,false,false,Example,
DeviceID.OUI,false,false,00D09E,
DeviceID.ProductClass,false,false,Gateway,
DeviceID.SerialNumber,false,false,1,
InternetGatewayDevice.DeviceInfo.SoftwareVersion,false,false,1.0,xsd:string
InternetGatewayDevice.DeviceInfo.ProvisioningCode,false,true,,xsd:string
InternetGatewayDevice.ManagementServer.ConnectionRequestURL,false,false,,xsd:string
InternetGatewayDevice.ManagementServer.ParameterKey,false,false,,xsd:string
InternetGatewayDevice.LANDevice,true,false,,
InternetGatewayDevice.LANDevice.1,true,false,,
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPServerEnable,false,true,1,xsd:boolean
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalPoolNumberOfEntries,false,false,1,xsd:unsignedInt
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool,true,true,,
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1,true,true,,
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.Enable,false,true,1,xsd:boolean
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.PoolOrder,false,true,1,xsd:unsignedInt
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.LocallyServed,false,true,1,xsd:boolean
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.DHCPServerIPAddress,false,true,,xsd:string
InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool.1.MinAddress,false,true,192.168.1.64,xsd:string
`

// TestTR098Pools: TR-098 has one table for what is pools of the CPE's own server and relays to others in Device:2; a row that is made in one of these is there.
func TestTR098Pools(t *testing.T) {
	tree, err := cpe.LoadCSV(strings.NewReader(poolsDump))
	if err != nil {
		t.Fatal(err)
	}
	const pools, relays = "Device.DHCPv4.Server.Pool.", "Device.DHCPv4.Relay.Forwarding."
	e := fresh(t, options{tree: tree.Without("LocallyServed")})
	e.wantRows(pools, pools+"1000.", pools+"1001.")
	pool, _ := e.added(pools, req("Interface", "Device.IP.Interface.1"), req("MinAddress", "192.168.1.80"), req("Alias", "guests"))
	e.wantRows(pools, pools+"1000.", pools+"1001.", pool)
	e.wantValue(pool+"MinAddress", "192.168.1.80")
	if got := e.sole(pools + `[Alias=="guests"].`); got != pool {
		t.Errorf("%s is called guests", got)
	}
	_, err = e.delete(false, pool)
	e.must(err)
	e.wantRows(pools, pools+"1000.", pools+"1001.")

	e = fresh(t, options{tree: tree})
	relay, _ := e.added(relays, req("DHCPServerIPAddress", "192.0.2.5"), req("Alias", "central"))
	e.wantRows(relays, relay)
	e.wantRows(pools, pools+"1000.", pools+"1001.")
	e.wantValue(relay+"DHCPServerIPAddress", "192.0.2.5")
	e.wantValue(relay+"LocallyServed", "false")
	if got := e.sole(relays + `[Alias=="central"].`); got != relay {
		t.Errorf("%s is called central", got)
	}
	_, err = e.delete(false, relay)
	e.must(err)
	e.wantRows(relays)
}

const unlistedDump = `Parameter,Object,Writable,Value,Value type
DeviceID.Manufacturer,false,false,Example,
DeviceID.OUI,false,false,00D09E,
DeviceID.ProductClass,false,false,Gateway,
DeviceID.SerialNumber,false,false,1,
InternetGatewayDevice.DeviceInfo.SoftwareVersion,false,false,1.0,xsd:string
InternetGatewayDevice.DeviceInfo.ProvisioningCode,false,true,,xsd:string
InternetGatewayDevice.ManagementServer.ConnectionRequestURL,false,false,,xsd:string
InternetGatewayDevice.ManagementServer.ParameterKey,false,false,,xsd:string
InternetGatewayDevice.WANDevice,true,false,,
InternetGatewayDevice.WANDevice.1,true,false,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice,true,false,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1,true,false,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection,true,false,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1,true,false,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.Enable,false,true,1,xsd:boolean
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMappingNumberOfEntries,false,false,0,xsd:unsignedInt
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping,true,true,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.1,true,true,,
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.1.ExternalPort,false,true,0,xsd:unsignedInt
InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.1.InternalClient,false,true,,xsd:string
`

// TestTR098UnlistedTable: some CPE name a table only once it has rows, and say before that it has none: the first row can be made, and is like any other.
func TestTR098UnlistedTable(t *testing.T) {
	tree, err := cpe.LoadCSV(strings.NewReader(unlistedDump))
	if err != nil {
		t.Fatal(err)
	}
	empty := true
	e := fresh(t, options{tree: tree, faults: cpe.Faults{Answer: func(req, resp cwmp.RPC) cwmp.RPC {
		if _, adds := req.(*cwmp.AddObject); adds {
			empty = false
		}
		hidden := func(name string) bool { // row 1 is what the simulated CPE makes new rows of
			return strings.Contains(name, ".PortMapping.1.") || empty && strings.HasSuffix(name, ".PortMapping.")
		}
		switch r := resp.(type) {
		case *cwmp.GetParameterNamesResponse:
			return &cwmp.GetParameterNamesResponse{ParameterList: slices.DeleteFunc(slices.Clone(r.ParameterList), func(p cwmp.ParameterInfoStruct) bool { return hidden(p.Name) })}
		case *cwmp.GetParameterValuesResponse:
			return &cwmp.GetParameterValuesResponse{ParameterList: slices.DeleteFunc(slices.Clone(r.ParameterList), func(p cwmp.ParameterValueStruct) bool { return hidden(p.Name) })}
		}
		return resp
	}}})
	const table = "Device.NAT.PortMapping."
	e.wantRows(table)
	row, _ := e.added(table, req("ExternalPort", "8443"), req("InternalClient", "192.168.1.20"))
	e.wantRows(table, row)
	e.wantValue(row+"ExternalPort", "8443")
	e.wantValue(row+"InternalClient", "192.168.1.20")
	_, err = e.delete(false, row)
	e.must(err)
	e.wantRows(table)
}
