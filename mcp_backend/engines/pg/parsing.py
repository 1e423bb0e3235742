"""PostgreSQL's own parser (libpg_query) as parse trees, safe against whatever is given to it."""

import importlib.util
import json
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import InvalidArgument

SYNTAX_ERROR = "42601"
INLINE_CHARACTERS = 4_000
TOO_DEEP = "sql: nested too deeply to be analysed; expected a flatter statement"
PARSER_STACK = 256 * 1024 * 1024


def parse(sql: str) -> list[dict[str, Any]]:
    """The parse trees of the statements in `sql`. Raises `InvalidArgument` as `raw_statements` does."""
    return [cast("dict[str, Any]", entry["stmt"]) for entry in raw_statements(sql)]


def raw_statements(sql: str) -> list[dict[str, Any]]:
    """The parse trees with where each statement lies: `stmt`, `stmt_location` and `stmt_len` in bytes.

    Raises `InvalidArgument` when it is not PostgreSQL, or nested too deeply to analyse.
    """
    if len(sql) <= INLINE_CHARACTERS:
        return _parse(sql)
    # The library recurses without a limit of its own: a long chain of operators needs a deep stack.
    return _on_deep_stack(lambda: _parse(sql))


def _parse(sql: str) -> list[dict[str, Any]]:
    lib = _library()
    result = lib.pg_query_parse(sql.encode())
    try:
        if result.error:
            error = result.error.contents
            raise InvalidArgument(
                _syntax(sql, error.message.decode(errors="replace"), error.cursorpos),
                details={"sqlstate": SYNTAX_ERROR},
            )
        tree = cast("dict[str, Any]", json.loads(result.parse_tree))
    except (RecursionError, ValueError):
        raise InvalidArgument(TOO_DEEP) from None
    finally:
        lib.pg_query_free_parse_result(result)
    return cast("list[dict[str, Any]]", tree.get("stmts", []))


@cache
def _library() -> Any:
    """libpg_query as the module `postgast.native` declares it, without the package around it: a class for each node and
    the runtime of protobuf take 7 MB and a tenth of a second, and no query needs them. Raises `ModuleNotFoundError`."""
    package = importlib.util.find_spec("postgast")
    for folder in (package.submodule_search_locations or ()) if package else ():
        spec = importlib.util.spec_from_file_location("pg_query_native", Path(folder, "native.py"))
        if spec is not None and spec.loader is not None and Path(folder, "native.py").is_file():
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.lib
    from postgast.native import lib

    return lib


def _on_deep_stack(work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    done: list[list[dict[str, Any]] | InvalidArgument] = []

    def run() -> None:
        try:
            done.append(work())
        except InvalidArgument as error:
            done.append(error)

    with _STACK:
        before = threading.stack_size(PARSER_STACK)
        try:
            thread = threading.Thread(target=run, name="parse")
            thread.start()
        except RuntimeError:
            raise InvalidArgument("sql: too long to be analysed here; expected a shorter statement") from None
        finally:
            threading.stack_size(before)
    thread.join()
    outcome = done[0]
    if isinstance(outcome, InvalidArgument):
        raise outcome
    return outcome


_STACK = threading.Lock()


def _syntax(sql: str, message: str, offset: int) -> str:
    at = len(sql.encode()[: max(0, offset - 1)].decode(errors="replace")) + 1 if offset else 0
    where = f" at character {at}" if at else ""
    hint = "; parameters are written $1, $2 …" if "%s" in sql or "%(" in sql else ""
    return f"sql: {message}{where} (SQLSTATE {SYNTAX_ERROR}){hint}"
