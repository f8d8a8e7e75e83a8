package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"isthmus/translate/legacy"
)

type explainCmd struct {
	Path   string `arg:"" help:"Path of a parameter or object, with instance numbers or {i}: InternetGatewayDevice.…, or Device.…."`
	Model  string `enum:"tr098,device1," default:"" placeholder:"tr098|device1" help:"The CPE's data model; needed for paths that begin with Device."`
	Vendor string `placeholder:"NAME|FILE" help:"With the extensions of a maker: ${vendors}, or a file that ends in .tsv."`
	JSON   bool   `help:"Print JSON."`
}

func (c *explainCmd) Run(a *app) error {
	own := strings.HasPrefix(c.Path, legacy.TR098().Root())
	switch {
	case !own && !strings.HasPrefix(c.Path, "Device."):
		return fmt.Errorf("%w: %s begins with neither InternetGatewayDevice. nor Device. as a path does", errUse, c.Path)
	case own && c.Model == modelDevice1:
		return fmt.Errorf("%w: %s is no path of Device:1", errUse, c.Path)
	}
	vendor, err := loadVendor(c.Vendor)
	if err != nil {
		return err
	}
	var found []legacy.Row
	if c.Model != modelDevice1 {
		found = legacy.TR098().Explain(c.Path, vendor)
	}
	if c.Model == modelDevice1 || c.Model == "" && !own {
		found = append(found, legacy.Device1().Explain(c.Path, nil)...)
	}
	if len(found) == 0 {
		var examples []string
		if c.Model != modelDevice1 {
			examples = legacy.TR098().Numbered(c.Path, vendor)
		}
		if c.Model == modelDevice1 || c.Model == "" {
			examples = append(examples, legacy.Device1().Numbered(c.Path, nil)...)
		}
		if len(examples) > 0 {
			return fmt.Errorf("no row of a CPE has the numbers of %s: first rows have those of %s; write {i} for any", c.Path, strings.Join(examples, " or "))
		}
		return fmt.Errorf("no table names %s: see isthmus datamodel explain with a path above it", c.Path)
	}
	if c.JSON {
		out := []explained{}
		for _, r := range found {
			out = append(out, explained{r.Own, r.Target, r.Kind, r.Transform, r.Instance, r.Direction, r.Note, r.Vendor})
		}
		return printJSON(a, out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CPE\tDEVICE:2\tHOW\tACCESS\tNOTE")
	for _, r := range found {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", orDash(r.Own), orDash(r.Target), how(&r), access(r.Direction), r.Note)
	}
	return w.Flush()
}

// explained is a row of JSON.
type explained struct {
	CPE       string `json:"cpe"`
	Device2   string `json:"device2"`
	Kind      string `json:"kind"`
	Transform string `json:"transform,omitempty"`
	Instance  string `json:"instance,omitempty"`
	Direction string `json:"direction"`
	Note      string `json:"note,omitempty"`
	Vendor    string `json:"vendor,omitempty"`
}

const modelDevice1 = "device1"

// how says how the one becomes the other: the kind of the row, with its transform and the function of its instance numbers.
func how(r *legacy.Row) string {
	parts := []string{r.Kind}
	for _, p := range []string{r.Transform, r.Instance} {
		if p != "" && p != "same" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, "; ")
	if r.Vendor != "" {
		text += " (" + r.Vendor + ")"
	}
	return text
}

func orDash(path string) string {
	if path == "" {
		return "-"
	}
	return path
}

func access(direction string) string {
	switch direction {
	case "rw":
		return "read, write"
	case "r":
		return "read"
	case "w":
		return "write"
	}
	return "none"
}

// loadVendor reads the table of a maker, nil for no name.
func loadVendor(name string) (*legacy.Vendor, error) {
	if name == "" {
		return nil, nil
	}
	v, err := legacy.LoadVendor(name)
	if err != nil {
		return nil, fmt.Errorf("--vendor: %w", err)
	}
	return v, nil
}
