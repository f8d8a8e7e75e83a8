// Package usppb has the messages and Records of USP 1.4 as generated from msg.proto and record.proto. The schema serves peers of
// every earlier version too: fields were only ever added.
package usppb

// The plugin is the one go.mod names as a tool, so protoc on PATH is all that is needed.
//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --go_out=. --go_opt=paths=source_relative msg.proto record.proto"
