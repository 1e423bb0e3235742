"""Pages that a person reads: server-rendered, nothing from outside the machine, no build step."""
