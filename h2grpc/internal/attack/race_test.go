//go:build linux && race

package attack_test

// raced reports that the race detector is on: it multiplies memory and time.
const raced = true
