//go:build !linux

package procid

func known() bool { return false }

func of(int) (ID, bool) { return ID{}, false }

func ended(int) bool { return false }

func parent(int) (int, bool) { return 0, false }

func user(int) (int, bool) { return 0, false }
