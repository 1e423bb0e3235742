"""`mcp-backend doctor`: whether everything this server needs is in place."""
