"""`python -m mcp_backend` and the script `mcp-backend`. A hook goes its own, short way."""

import sys


def main() -> int:
    """Runs the command line; `hook` and `serve` before the other commands are imported: hosts wait for them."""
    if sys.argv[1:2] == ["hook"]:
        from mcp_backend import hook

        hook.script(sys.argv[2:])
    if sys.argv[1:2] == ["serve"]:
        from mcp_backend.serving import front

        return front.main(sys.argv[2:])
    from mcp_backend.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
