"""Run by its path with `python -I -S`: without site-packages, which would cost half of the start."""

import sys
from os.path import abspath, dirname

sys.path.append(dirname(dirname(dirname(abspath(__file__)))))

from mcp_backend.keeper.serve import main

main(*sys.argv[1:])
