// Package fleet is for hosts with several plugins: it finds the plugins in a directory,
// starts them concurrently, and ends them together.
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
// It uses only the exported API of package host. [Discover] does not check the contents
// of the files that it finds; package verify does that when they are started.
package fleet
