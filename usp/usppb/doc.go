// Package usppb holds the messages of TR-369 1.4, generated from the .proto files beside it.
package usppb
