"""Programs that tests start again and again start quicker once their modules are compiled; some installers do not."""

import os
import subprocess
import sys


def compiled(modules: str) -> None:
    """Imports the modules once in a process that may write what it compiled."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", f"import {modules}"], env=environment, check=True)
