package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"isthmus/cmd/isthmus/admin"
)

type devicesCmd struct {
	adminFlags `embed:""`
	ID         string `arg:"" optional:"" help:"Endpoint ID of one device, to show it in detail."`
	JSON       bool   `help:"Print JSON, as the admin address gives it."`
	Search     string `short:"q" placeholder:"TEXT" help:"Only devices with this text in their identity."`
}

func (c *devicesCmd) Run(a *app) error {
	if c.ID != "" {
		return c.one(a)
	}
	all := admin.List{Devices: []admin.Device{}}
	for after := ""; ; {
		var page admin.List
		q := url.Values{"limit": {"1000"}, "after": {after}, "q": {c.Search}}
		if err := c.get(a.ctx, "devices?"+q.Encode(), &page); err != nil {
			return err
		}
		all.Devices = append(all.Devices, page.Devices...)
		if page.Next == "" || page.Next == after {
			break
		}
		after = page.Next
	}
	if c.JSON {
		return printJSON(a, &all)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT ID\tMANUFACTURER\tSOFTWARE\tROOT\tLAST INFORM\tONLINE")
	for i := range all.Devices {
		d := &all.Devices[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.EndpointID, d.Manufacturer, d.SoftwareVersion, d.Root, stamp(d.LastInform), yesNo(d.Online)+contested(d))
	}
	return w.Flush()
}

func (c *devicesCmd) one(a *app) error {
	if c.JSON {
		var raw json.RawMessage
		if err := c.get(a.ctx, "devices/"+admin.Segment(c.ID), &raw); err != nil {
			return err
		}
		return printJSON(a, raw)
	}
	var d admin.Detail
	if err := c.get(a.ctx, "devices/"+admin.Segment(c.ID), &d); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"Endpoint ID", d.EndpointID},
		{"Manufacturer", d.Manufacturer},
		{"OUI", d.OUI},
		{"Product class", d.ProductClass},
		{"Serial number", d.SerialNumber},
		{"Software version", d.SoftwareVersion},
		{"Root", d.Root},
		{"Last Inform", stamp(d.LastInform)},
		{"Events", strings.Join(d.Events, ", ")},
		{"Online", yesNo(d.Online)},
		{"Quarantine", d.Quarantine},
		{"Reset by hand", strings.TrimSpace(stamp(d.Reset.Time) + " " + d.Reset.From)},
		{"Connection Request URL", d.ConnectionRequestURL},
		{"RPC methods", strings.Join(d.RPCMethods, ", ")},
		{"Data model known", yesNo(d.Discovered)},
		{"Model", strings.TrimSpace(d.ModelName + " " + d.HardwareVersion)},
		{"In memory", fmt.Sprintf("%d parameters", d.Cache.Parameters)},
		{"Subscribed", fmt.Sprintf("%d paths", d.SubscribedPaths)},
		{"Waiting", fmt.Sprintf("%d requests", d.Queued)},
		{"Pending", strings.Join(d.PendingOperations, ", ")},
		{"Quirks", strings.Join(d.Quirks, ", ")},
		{"Connection Request", tries(d.ConnectionRequest.Tries)},
	} {
		if row[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
		}
	}
	return w.Flush()
}

// tries tells the last Connection Requests.
func tries(list []admin.Try) string {
	if len(list) == 0 {
		return stamp(nil)
	}
	var texts []string
	for _, t := range list {
		text := strings.ToUpper(t.Method) + " " + stamp(t.Time)
		if t.Error != "" {
			text += " (" + t.Error + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// contested marks a device in a list.
func contested(d *admin.Device) string {
	if d.Quarantine == "" {
		return ""
	}
	return ", quarantine"
}

func printJSON(a *app, v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func stamp(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
