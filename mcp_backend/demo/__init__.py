"""`mcp-backend demo`: a host's session on a small real backend, played through the official SDK's client.

`orders/` is the repository the session works in, `change/` what the host writes there with its own edit tool.
"""
