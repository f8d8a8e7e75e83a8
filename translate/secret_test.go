package translate

import "testing"

func TestSecret(t *testing.T) {
	for path, want := range map[string]bool{
		"Device.ManagementServer.Password": true, "Device.ManagementServer.ConnectionRequestPassword": true, "Device.ManagementServer.ConnectionRequestUsername": true,
		"InternetGatewayDevice.ManagementServer.Username":                                      true,
		"InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.PreSharedKey.1.PreSharedKey":    true,
		"InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.PreSharedKey.1.KeyPassphrase":   true,
		"InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.WEPKey.1.WEPKey":                true,
		"InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.WPS.DevicePassword":             true,
		"InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword": true,
		"InternetGatewayDevice.X_HW_WebUserInfo.1.UserPassWD":                                  true,
		"Device.WiFi.AccessPoint.1.Security.SAEPassphrase":                                     true, "Device.WiFi.AccessPoint.1.WPS.PIN": true, "Device.X_A_Admin.Pwd": true,
		"Device.Cellular.Interface.1.USIM.PIN": true, "Device.X_A.SimPin": true, "Device.X_A_SNMP.ROCommunity": true, "Device.X_A.ApiToken": true,
		"Device.ManagementServer.ParameterKey": false, "Device.IP.Diagnostics.IPPing.Host": false, "Device.DeviceInfo.SoftwareVersion": false,
		"Device.ManagementServer.PeriodicInformInterval": false, "Device.WiFi.SSID.1.SSID": false, "Device.NAT.PortMapping.1.InternalPort": false,
	} {
		if got := Secret(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
