package datamodel

import "slices"

// addCommands adds the commands of the objects that the CPE has, as far as they can be carried out there.
func (m *modeller) addCommands() {
	for _, o := range m.order {
		if o.Path == rootDevice {
			continue // addRoot's
		}
		for _, c := range m.schema.commands[o.Path] {
			if m.offers(o.Path, &c) {
				o.Commands = append(o.Commands, c.CommandDef)
			}
		}
	}
	if o := m.objects[softwareModules]; o != nil && slices.Contains(m.rpcs, changeDUState) {
		o.Events = append(o.Events, m.schema.event(softwareModules+"DUStateChange!").EventDef)
	}
}

const (
	triggerParam    = "trigger-param" // a class of commands
	newRow          = "new-row"       // and one of events
	softwareModules = rootDevice + "SoftwareModules."
	changeDUState   = "ChangeDUState"
)

// installs says whether the rows of a table come from the commands of software modules.
func (m *modeller) installs(row string) bool {
	return (row == softwareModules+"DeploymentUnit.{i}." || row == softwareModules+"ExecutionUnit.{i}.") && slices.Contains(m.rpcs, changeDUState)
}

// offers says whether the CPE can carry out a command of an object that it has.
func (m *modeller) offers(object string, c *Command) bool {
	if object+c.Name == activateCommand {
		boot, ok := m.shape.entry(rootDevice + "DeviceInfo.BootFirmwareImage")
		return ok && boot.flags&writable != 0
	}
	if object+c.Name == collectCommand {
		return m.objects[object].Event("Push!") != nil
	}
	if c.Class == triggerParam {
		trigger, ok := m.shape.entry(c.Target)
		return ok && trigger.flags&writable != 0
	}
	if c.Class == diagnostics {
		state, ok := m.shape.entry(c.Target + c.State)
		return ok && state.flags&writable != 0
	}
	if c.Class == "emulate" {
		param, ok := m.shape.entry(c.Target)
		return ok && param.flags&writable != 0 && m.shape.has(object+"Status")
	}
	switch c.Class + " " + c.Target {
	case "rpc Download":
		return len(m.rpcs) == 0 || slices.Contains(m.rpcs, c.Target) // it is required (TR-069 A.3.2.8)
	case "rpc Upload", "rpc " + changeDUState:
		return slices.Contains(m.rpcs, c.Target)
	}
	return false
}

const (
	activateCommand = imageRow + "Activate()"
	collectCommand  = rootDevice + "PeriodicStatistics.SampleSet.{i}.ForceCollection()"
)

// Methods are the RPCs whose presence among what a CPE answers to GetRPCMethods makes a difference to its Model.
var Methods = []string{"FactoryReset", "Download", "Upload", changeDUState}
