// Package fleet is for hosts with several plugins: it finds the plugins in a
// directory, starts them at once, and ends them together.
//
//	paths, err := fleet.Discover("/usr/lib/app/plugins", "app-plugin-*")
//	if err != nil {
//		log.Fatal(err)
//	}
//	configs := make(map[string]*host.Config)
//	for _, path := range paths {
//		configs[filepath.Base(path)] = &host.Config{Handshake: handshake, Cmd: exec.Command(path)}
//	}
//	var group fleet.Group
//	defer group.Close()
//	if err := group.StartAll(ctx, configs); err != nil {
//		log.Fatal(err)
//	}
//	client := group.Client("app-plugin-kv")
//
// All of it is done with what package host offers to everyone. [Discover] says
// where plugins are and does not judge what is in their files; package verify does
// that at their start.
package fleet
