"""Hazards that lie in what a statement asks for: what no migration does, and what the grammar alone tells."""

import re
from collections.abc import Iterator

from mcp_backend.migrations.rehearsal.effects import World
from mcp_backend.migrations.rehearsal.kinds import Parsed, bodies, functions, strings, walk
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard

_FILES = re.compile(
    r"^(pg_read_(binary_)?file|pg_ls_\w+|pg_stat_file|lo_import|lo_export|pg_file_\w+|pg_read_file_all|pg_logdir_ls)$"
)
_PROGRAMS = re.compile(r"^(dblink\w*|pg_execute_server_program|xslt_process|plpy\w*)$")
_SERVER = re.compile(
    r"^(pg_reload_conf|pg_rotate_logfile|pg_terminate_backend|pg_cancel_backend|pg_promote|pg_switch_wal|"
    r"pg_create_restore_point|pg_drop_replication_slot|pg_create_\w*replication_slot|pg_wal_replay_\w+)$"
)
_SAFE_LANGUAGES = ("sql", "plpgsql")
_NO_LIMIT = re.compile(r"\block_timeout\b'?\s*(=|,|\bto\b)\s*('0[a-z]*'|0\b)", re.IGNORECASE)
_IN_TEXT = (
    (re.compile(r"\bcopy\b[^;]*\bprogram\b", re.IGNORECASE), "server_side_program", "COPY … PROGRAM"),
    (re.compile(r"\b(pg_read_(binary_)?file|pg_ls_dir|lo_import|lo_export)\s*\(", re.IGNORECASE), "filesystem_access",
     "a function of the server's files"),
    (re.compile(r"\balter\s+system\b", re.IGNORECASE), "server_configuration", "ALTER SYSTEM"),
    (re.compile(r"session_replication_role", re.IGNORECASE), "disable_trigger_all", "session_replication_role"),
    (re.compile(r"\bdblink\w*\s*\(", re.IGNORECASE), "server_side_program", "dblink"),
)  # fmt: skip


def judge(statements: list[Parsed], world: World, ran: set[int]) -> Iterator[Hazard]:
    """Every statement, run or not. Numbers count what is reported, which leaves transaction control out."""
    number = 0
    there = {str(doc["name"]) for key, doc in world.start.items() if key[0] == "ext"}
    for parsed in statements:
        number += 0 if parsed.control else 1
        if parsed.node != "CreateExtensionStmt" or parsed.tree.get("extname") not in there:
            yield from _forbidden(parsed, number)
        if changed := sorted(_extensions(parsed) & there):
            verb = "drops" if parsed.node == "DropStmt" else "changes"
            yield hazard("extension", number, "needs_approval", f"{verb} the extension {', '.join(changed)}")
        yield from _functions(parsed, number)
        yield from _settings(parsed, number)
        yield from _roles(parsed, number)
        yield from _tables(parsed, number, world, done=number in ran)


def _forbidden(parsed: Parsed, number: int) -> Iterator[Hazard]:
    match parsed.node:
        case "AlterSystemStmt":
            yield hazard("server_configuration", number, "reject", "ALTER SYSTEM changes the whole server")
        case "CreatedbStmt" | "DropdbStmt":
            yield hazard("drop_database", number, "reject", "makes or drops a whole database")
        case "CreateTableSpaceStmt" | "DropTableSpaceStmt":
            yield hazard("server_configuration", number, "reject", "tablespaces are folders of the server")
        case "AlterDatabaseSetStmt" | "AlterRoleSetStmt" | "AlterDatabaseStmt":
            yield hazard("server_configuration", number, "needs_approval", "changes a setting of every later session")
        case "ReindexStmt" if parsed.tree.get("kind") == "REINDEX_OBJECT_SYSTEM":
            reason = "builds the indexes of the system catalogs anew: every session waits"
            yield hazard("reindex_blocking", number, "reject", reason, source="statement")
        case "LoadStmt":
            yield hazard("server_side_program", number, "reject", "LOAD loads code into the server")
        case "CopyStmt" if parsed.tree.get("is_program"):
            yield hazard("server_side_program", number, "reject", "COPY … PROGRAM runs a program on the server")
        case "CopyStmt" if parsed.tree.get("filename"):
            yield hazard("filesystem_access", number, "reject", "COPY with a file reads or writes the server's disk")
        case "CreateExtensionStmt":
            name = parsed.tree.get("extname")
            yield hazard("extension", number, "needs_approval", f"installs the extension {name}", source="statement")
        case "DoStmt":
            yield hazard("opaque_do_block", number, "info", "a DO block: only what it did here is known")
        case "CreateFunctionStmt":
            language = _option(parsed, "language")
            if language and language.lower() not in _SAFE_LANGUAGES:
                severity = "reject" if language.lower() in ("c", "internal") or language.endswith("u") else "warn"
                yield hazard("server_side_program", number, severity, f"a function in the language {language}")
        case _:
            pass


def _extensions(parsed: Parsed) -> set[str]:
    """Extensions that are dropped, brought to another version or given other members."""
    if parsed.node == "DropStmt" and parsed.tree.get("removeType") == "OBJECT_EXTENSION":
        return set(strings(parsed.tree.get("objects")))
    altered = parsed.node in ("AlterExtensionStmt", "AlterExtensionContentsStmt")
    return {str(parsed.tree.get("extname", ""))} if altered else set()


def _option(parsed: Parsed, name: str) -> str:
    for element in parsed.tree.get("options", []):
        about = element.get("DefElem", {})
        if about.get("defname") == name:
            return str(about.get("arg", {}).get("String", {}).get("sval", ""))
    return ""


def _functions(parsed: Parsed, number: int) -> Iterator[Hazard]:
    for name in functions(parsed.tree):
        for pattern, identifier in (
            (_FILES, "filesystem_access"), (_PROGRAMS, "server_side_program"), (_SERVER, "server_configuration"),
        ):  # fmt: skip
            if pattern.match(name):
                yield hazard(identifier, number, "reject", f"calls {name}()", source="statement")
        if name == "set_config" and "session_replication_role" in parsed.sql:
            yield hazard("disable_trigger_all", number, "reject", "switches all triggers off", source="statement")
        if name == "set_config" and _NO_LIMIT.search(parsed.sql):
            yield _endless(number)
    if text := bodies(parsed):
        if parsed.node == "DoStmt" and _NO_LIMIT.search(text):
            yield _endless(number)
        for pattern, identifier, what in _IN_TEXT:
            if pattern.search(text):
                yield hazard(identifier, number, "reject", f"its body uses {what}", source="statement")


def _settings(parsed: Parsed, number: int) -> Iterator[Hazard]:
    if parsed.node != "VariableSetStmt":
        return
    name = str(parsed.tree.get("name", "")).lower()
    values = [str(v) for key, v in walk(parsed.tree.get("args")) if key in ("sval", "ival")]
    if name == "session_replication_role" and "origin" not in str(values):
        for identifier in ("disable_trigger_all", "server_configuration"):
            yield hazard(identifier, number, "reject", "switches all triggers and foreign keys off", source="statement")
    zero = "'0'" in parsed.sql or re.search(r"(=|\bto\b)\s*('0\w*'|0|default)\s*$", parsed.sql.strip(), re.IGNORECASE)
    reset = parsed.tree.get("kind") in ("VAR_SET_DEFAULT", "VAR_RESET", "VAR_RESET_ALL")
    if (name == "lock_timeout" and (zero or reset)) or parsed.tree.get("kind") == "VAR_RESET_ALL":
        yield _endless(number)


def _endless(number: int) -> Hazard:
    reason = "the statements after it wait for locks without end, and everybody else queues behind them"
    return hazard("disables_lock_timeout", number, "reject", reason, source="statement")


def _roles(parsed: Parsed, number: int) -> Iterator[Hazard]:
    if parsed.node in ("AlterRoleStmt", "CreateRoleStmt"):
        risky = ("superuser", "bypassrls", "createrole", "createdb", "isreplication")
        given = [
            e["DefElem"]["defname"] for e in parsed.tree.get("options", [])
            if e["DefElem"].get("defname") in risky and '"boolval": true' in _json(e)
        ]  # fmt: skip
        if given:
            yield hazard("grant_widening", number, "needs_approval", f"gives a role {', '.join(given)}")
    if parsed.node == "GrantRoleStmt" and parsed.tree.get("is_grant"):
        yield hazard("grant_widening", number, "needs_approval", "makes a role a member of another")


def _json(node: object) -> str:
    import json

    return json.dumps(node)


def _tables(parsed: Parsed, number: int, world: World, *, done: bool) -> Iterator[Hazard]:
    there = [
        n
        for n in world.target.relations
        if any(n in (r, f"public.{r}") or n.endswith(f".{r}") for r in parsed.relations)
    ]
    if parsed.node == "LockStmt" and int(parsed.tree.get("mode", 8)) >= 5 and there:
        yield hazard("explicit_lock_table", number, "reject", f"LOCK TABLE {', '.join(there)}: held until the end")
    if parsed.node in ("TruncateStmt", "DeleteStmt") and there and not done:
        reason = f"deletes rows of {', '.join(there)}; how many was not seen, because it did not run"
        yield hazard("destructive_data", number, "needs_approval", reason, source="statement")
    if parsed.has("AT_DisableTrigAll") and there:
        reason = f"switches all triggers of {there[0]} off, foreign keys included"
        yield hazard("disable_trigger_all", number, "reject", reason, source="statement")
    if parsed.has("AT_DisableTrigUser") and there:
        yield hazard("disable_trigger_all", number, "warn", f"switches the triggers of {there[0]} off")
