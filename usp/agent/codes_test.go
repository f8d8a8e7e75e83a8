package agent

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// applicable are the codes that the specification lists for the answer to a message, beyond 7000 to 7006 and the vendor's 7800 to 7999.
var applicable = map[string][]usp.ErrorCode{
	"add":                    {7007, 7008, 7009, 7010, 7011, 7012, 7013, 7014, 7015, 7016, 7017, 7018, 7019, 7021, 7025, 7026},
	"set":                    {7007, 7008, 7009, 7010, 7011, 7012, 7013, 7014, 7015, 7016, 7020, 7021, 7025, 7026},
	"delete":                 {7007, 7008, 7015, 7016, 7018, 7024, 7026},
	"get":                    {7008, 7010, 7016, 7026},
	"get_instances":          {7008, 7016, 7018, 7026},
	"get_supported_dm":       {7008, 7016, 7026},
	"operate":                {7007, 7008, 7016, 7022, 7026, 7027},
	"notify":                 {},
	"register":               {7007, 7008, 7016, 7028, 7029},
	"deregister":             {7007, 7008, 7016, 7030, 7031},
	"get_supported_protocol": {},
}

// checkCodes says that all codes of an answer are among those of the request's kind. Every test of this package that asks something goes through it.
func checkCodes(t testing.TB, req *usppb.Request, answer *usppb.Body) {
	t.Helper()
	kind := ""
	req.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		kind = string(f.Name())
		return false
	})
	allowed := map[usp.ErrorCode]bool{}
	for c := usp.ErrorCode(7000); c <= 7006; c++ {
		allowed[c] = true
	}
	for _, c := range applicable[kind] {
		allowed[c] = true
	}
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.Name() == "err_code":
				if c := usp.ErrorCode(v.Uint()); c != 0 && !allowed[c] && (c < 7800 || c > 7999) {
					t.Errorf("%d is no code of the answer to %s: %v", c, kind, answer)
				}
			case f.IsList() && f.Message() != nil:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			case !f.IsMap() && !f.IsList() && f.Message() != nil:
				walk(v.Message())
			}
			return true
		})
	}
	walk(answer.ProtoReflect())
}
