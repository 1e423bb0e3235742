"""The process that keeps one local engine running for as long as somebody holds a lease on it.

A program of its own (`python -I -S mcp_backend/keeper/__main__.py KIND FOLDER PROGRAM`) that outlives the servers that
use it. Standard library only, and none of its slow parts: the first call of a session waits for its start.
"""
