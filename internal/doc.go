// Package internal holds all of exuvia but its main function. It has no code
// of its own; its tests keep the rules that concern every package.
package internal
