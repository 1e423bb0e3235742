"""`python -m mcp_backend` is the same as `mcp-backend`."""

import sys

from mcp_backend.cli import main

if __name__ == "__main__":
    sys.exit(main())
