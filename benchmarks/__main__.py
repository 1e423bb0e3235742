"""`python -m benchmarks [NAME …]` (or `make bench`): every measurement, printed, and kept in `build/bench.json`.

Each runs in a process of its own, so that none meets another's memory or engines, and one that fails or hangs leaves
the others' figures; what went wrong is then in `build/bench-NAME.log`, and the command fails at its end.
`python -m benchmarks.report` makes the table and the chart of `RESULTS.md` from the file.
"""

import argparse
import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from benchmarks.host import surroundings
from benchmarks.results import HOME, Report, keep, machine

BENCHMARKS = {
    "peers": ("peers", "start, lists, memory and the same questions to this server and to others"),
    "http": ("http_load", "calls a second over streamable HTTP, beside others"),
    "overhead": ("overhead", "what guards and audit cost a call"),
    "first": ("first_answer", "the first answer of a started server"),
    "schema": ("schema", "a PostgreSQL of 5,000 tables"),
    "clickhouse": ("schema_clickhouse", "a ClickHouse of 1,000 tables"),
    "rehearsal": ("rehearsal_time", "the rehearsal of a migration on a database of 500 tables"),
    "verdicts": ("rehearsal", "verdicts of rehearsals beside squawk, where the corpus is"),
    "publish": ("publish_batch", "batches of messages"),
    "topology": ("topology", "2,000 streams or topics"),
    "faults": ("faults", "what is said of messages while a system is harmed"),
    "search": ("search", "search and symbols beside ripgrep"),
    "fence": ("fence", "the start of a fenced program"),
    "code": ("changed_code", "the look at changed code"),
    "contracts": ("contracts", "the gate and the summary of large specifications"),
}
BY_NAME = ("first", "verdicts")
"""Run when they are named: `peers` has the first answers too, and the corpus of migrations is no part of a clone."""
SECONDS = 600
"""What one may take: several times what it takes on a quiet machine of two cores."""
ENDING = 30


def main() -> int:
    """Runs what was asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures, prints, keeps.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default all but {' and '.join(BY_NAME)}"
    )
    parser.add_argument("--seconds", type=int, default=SECONDS, help="what each may take (default %(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    if options.here:
        return _here(options.names[0])
    HOME.mkdir(exist_ok=True)
    began = time.monotonic()
    print(*(f"{what}: {value}" for what, value in machine().items()), sep=", ", flush=True)
    names = options.names or [name for name in BENCHMARKS if name not in BY_NAME]
    failed = [name for name in names if not _apart(name, options.seconds)]
    print(f"\n{time.monotonic() - began:.0f} s in all; kept in {HOME / 'bench.json'}")
    if not options.names:
        print(f"only by name: {', '.join(BY_NAME)}; the table and the chart: python -m benchmarks.report")
    if failed:
        print(f"did not come to its end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _apart(name: str, seconds: int) -> bool:
    """One benchmark in a process of its own, whose lines are printed; whether it came to its end."""
    print(f"\n## {name}: {BENCHMARKS[name][1]}", flush=True)
    log = HOME / f"bench-{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", name, "--here"], stdin=subprocess.DEVNULL, stderr=errors,
            start_new_session=True, env=surroundings({}),
        )  # fmt: skip
        try:
            process.wait(seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
            _stopped(process)
            if isinstance(error, KeyboardInterrupt):
                raise
            print(f"not done in {seconds} s", flush=True)
            return False
    if process.returncode:
        print(*log.read_text("utf-8", "replace").splitlines()[-3:], f"({log} has all)", sep="\n", flush=True)
    return process.returncode == 0


def _stopped(process: "subprocess.Popen[bytes]") -> None:
    """Interrupts it, so that it ends what it started; after a while it is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _here(name: str) -> int:
    about, began = machine(), time.monotonic()
    found: Any = asyncio.run(importlib.import_module(f"benchmarks.{BENCHMARKS[name][0]}").measure())
    report = found if isinstance(found, Report) else Report(list(found))
    took = round(time.monotonic() - began, 1)
    keep(name, {"machine": about, "seconds": took, "lines": report.lines, **json.loads(json.dumps(report.data))})
    print(*report.lines, f"({took:.0f} s)", sep="\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
