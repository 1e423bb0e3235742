"""Where the figures go: one JSON file, in which each benchmark renews its own part and leaves the others'."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOME = Path(__file__).parents[1] / "build"
FILE = HOME / "bench.json"


@dataclass(frozen=True, slots=True)
class Report:
    """What a benchmark found: lines to print, and the same as data where tables are made of it."""

    lines: list[str]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def machine() -> dict[str, Any]:
    """What was measured on: the processor, the system, versions, and how busy it was at this moment."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{_system()}, {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "load": round(os.getloadavg()[0], 1),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "mcp-backend": version("mcp-backend"),
        "mcp": version("mcp"),
    }


def load() -> dict[str, Any]:
    """What was found so far, by the name of the benchmark; nothing when there is no file."""
    try:
        return json.loads(FILE.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise SystemExit(f"{FILE} is not JSON: remove it, then measure again") from None


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Renews the part of one benchmark. The file is whole at every moment."""
    HOME.mkdir(exist_ok=True)
    whole = {**load(), name: found}
    made = FILE.with_suffix(".new")
    made.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    made.replace(FILE)


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return sys.platform


def _processor() -> str:
    try:
        about = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")), "")
