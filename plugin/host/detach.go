package host

import (
	"errors"
	"fmt"
)

// Detach lets go of the plugin and leaves it running. It closes the connection and
// everything that belongs to it here, and stops reading what the plugin prints. Another
// host, or this one, can attach to the plugin with its record. The end of this process
// has the same effect. After Detach, Close, Shutdown and Kill leave the plugin alone, so
// that they may be deferred.
//
// It fails unless Config.Detach or Config.Reattach is set: other plugins do not outlive
// their host. A process that this one has launched remains its child, and a goroutine
// waits for its end.
func (c *Client) Detach() error {
	s := c.settings
	switch {
	case s.target.reattach == nil && !s.target.detach:
		return errors.New("host: Detach needs Config.Detach: a plugin must know from the start that it is to outlive its host")
	case s.multiplex:
		return errors.New("host: a plugin with Config.Multiplex ends with its one connection, and cannot be detached")
	}
	c.letGo()
	if !waitFor(c.done, killWait) {
		return fmt.Errorf("host: the plugin %s could not be detached within %v", c.proc.who(), killWait)
	}
	return nil
}

// letGo ends the client but not the plugin.
func (c *Client) letGo() {
	c.ask()
	c.stop.letOne.Do(func() { close(c.stop.let) })
}

func (c *Client) isLetGo() bool { return over(c.stop.let) && !c.proc.hasEnded() }

// abandon frees what belongs to a process that lives on. For one that was launched
// here, reap still waits for its end.
func (p *process) abandon() {
	p.handle.letGo()
	p.closeStreams()
	p.awaitOutput()
}
