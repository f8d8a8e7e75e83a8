// Package check tests what is in deploy/, with the libraries of those who read it. It is a module of its own, so that they never decide the
// product's versions.
package check
