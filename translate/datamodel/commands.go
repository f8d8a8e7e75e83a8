package datamodel

import "slices"

// addCommands adds the commands of the objects that the CPE has, as far as they can be carried out there.
func (m *modeller) addCommands() {
	for _, o := range m.order {
		if o.Path == rootDevice {
			continue // addRoot's
		}
		for _, c := range m.schema.commands[o.Path] {
			if c.offered(m.rpcs) {
				o.Commands = append(o.Commands, c.CommandDef)
			}
		}
	}
	if o := m.objects[softwareModules]; o != nil && slices.Contains(m.rpcs, changeDUState) {
		o.Events = append(o.Events, m.schema.event(softwareModules+"DUStateChange!").EventDef)
	}
}

const (
	softwareModules = rootDevice + "SoftwareModules."
	changeDUState   = "ChangeDUState"
)

// installs says whether the rows of a table come from the commands of software modules.
func (m *modeller) installs(row string) bool {
	return (row == softwareModules+"DeploymentUnit.{i}." || row == softwareModules+"ExecutionUnit.{i}.") && slices.Contains(m.rpcs, changeDUState)
}

// offered says whether a CPE that answers GetRPCMethods with rpcs (none: unknown) can carry out a command of an object that it has.
func (c *Command) offered(rpcs []string) bool {
	switch c.Class + " " + c.Target {
	case "rpc Download":
		return len(rpcs) == 0 || slices.Contains(rpcs, c.Target) // it is required (TR-069 A.3.2.8)
	case "rpc Upload", "rpc ChangeDUState":
		return slices.Contains(rpcs, c.Target)
	}
	return false
}

// Methods are the RPCs whose presence among what a CPE answers to GetRPCMethods makes a difference to its Model.
var Methods = []string{"FactoryReset", "Download", "Upload", changeDUState}
