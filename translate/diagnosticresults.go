package translate

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// What the CPE has in a diagnostics object when a test is over, as the output arguments of its command.

// results reads the whole object, in one go where the CPE can. What it refuses of it is left out, but not all.
func (t *test) results(ctx context.Context, c cwmp.Caller, d *Device) (map[string]cwmp.ParameterValueStruct, error) {
	values := map[string]cwmp.ParameterValueStruct{}
	get := func(names []string) error {
		resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: names})
		if err != nil {
			return err
		}
		for _, v := range resp.ParameterList {
			values[v.Name] = v
		}
		return nil
	}
	err := get([]string{t.object})
	if !isFault(err) {
		return values, err
	}
	listed, err := listBelow(ctx, c, t.object, 0)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range listed {
		if !strings.HasSuffix(n.path, ".") {
			names = append(names, n.path)
		}
	}
	d.mu.RLock()
	size := cmp.Or(d.batch, d.habit().NamesPerGet, firstBatch)
	d.mu.RUnlock()
	refused := 0
	for len(names) > 0 {
		size = min(size, len(names))
		err := get(names[:size])
		switch {
		case isFault(err) && size > 1:
			size /= 2
			continue
		case isFault(err) && refused < maxRefused:
			refused++
		case err != nil:
			return nil, err
		}
		names = names[size:]
	}
	return values, nil
}

// status is what USP calls the end of a test. A test that has failed is a command that has not: its Status says why, and there is no other place for that.
func (t *test) status(state string) string {
	may := t.command.Statuses
	if state == stateCompleted {
		state = stateComplete
	}
	if len(may) == 0 || slices.Contains(may, state) {
		return state
	}
	also := []string{stateOther, stateError, "fail"}
	if state == stateComplete {
		also = []string{"Success", "success"}
	}
	for _, s := range also {
		if slices.Contains(may, s) {
			return s
		}
	}
	return state
}

// output makes the output arguments of a command: those that the CPE has, with rows numbered from 1 on.
func (t *test) output(d *Device, values map[string]cwmp.ParameterValueStruct, status string) map[string]string {
	names := map[string]string{} // arguments by parameter
	for _, o := range t.outputs {
		names[o.Param] = o.Name
	}
	rows := t.rows(values)
	out := map[string]string{}
	for path, v := range values {
		rel := strings.TrimPrefix(path, t.object)
		generic := agent.GenericPath(rel)
		name := numbered(names[generic], rel, rows)
		if name == "" || rel == t.state {
			continue
		}
		value := normalize(t.generic+generic, v.Type, v.Value)
		if p, ok := datamodel.LookupParam(t.generic + generic); ok && p.Reference != datamodel.NoReference {
			value = d.referred(value)
		}
		out[name] = value
	}
	if slices.Contains(t.command.Out, statusOutput) {
		out[statusOutput] = status
	}
	return out
}

// rows gives each row of the results its number among those of its table, by its path relative to the object.
func (t *test) rows(values map[string]cwmp.ParameterValueStruct) map[string]int {
	rows := map[string]int{}
	tables := map[string][]int{}
	for path := range values {
		rel := strings.TrimPrefix(path, t.object)
		for i := range len(rel) {
			if rel[i] != '.' {
				continue
			}
			start := strings.LastIndexByte(rel[:i], '.') + 1
			if n, err := strconv.Atoi(rel[start:i]); err == nil && n > 0 && rel[start] != '0' && rows[rel[:i+1]] == 0 {
				rows[rel[:i+1]] = n
				tables[rel[:start]] = append(tables[rel[:start]], n)
			}
		}
	}
	for table, numbers := range tables {
		slices.Sort(numbers)
		for i, n := range numbers {
			rows[table+strconv.Itoa(n)+"."] = i + 1
		}
	}
	return rows
}

// numbered puts the numbers of the rows that a parameter is in into the name of its argument, "" where it is in none.
func numbered(name, rel string, rows map[string]int) string {
	for i := 0; i < len(rel) && strings.Contains(name, "{i}"); i++ {
		if n := rows[rel[:i+1]]; rel[i] == '.' && n != 0 {
			name = strings.Replace(name, "{i}", strconv.Itoa(n), 1)
		}
	}
	if strings.Contains(name, "{i}") {
		return ""
	}
	return name
}
