"""The demo is the main job end to end: it fails when any step does not come out as told."""

import os
import subprocess
import sys


def test_the_demo_comes_out_as_told() -> None:
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    played = subprocess.run(
        [sys.executable, "-m", "mcp_backend", "demo"], check=False, capture_output=True, text=True, env=environment
    )
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:]
    assert "refused permission_denied [no-frontend]" in played.stdout
    assert "audit:" in played.stdout
    assert played.stderr == ""
    assert "\033" not in played.stdout
