"""Serving: the wire of a host, stdio and HTTP, who may call, and what is told meanwhile."""
