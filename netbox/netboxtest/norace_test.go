//go:build !race

package netboxtest

const raceEnabled = false
