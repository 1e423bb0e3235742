# ruff: noqa: E501 - a table
"""What each hazard is called elsewhere, and what to do instead. `hazard` makes one.

Anchors: squawk's rules, eugene's hints, strong_migrations' checks, Atlas' analyzers.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.report import Hazard, Severity, Source

_BATCH = "update in batches of a few thousand rows by key, each in a transaction of its own, outside the migration"
_NOT_VALID = (
    "add it NOT VALID in one migration (no scan), then VALIDATE CONSTRAINT in the next one (readers and writers go on)"
)
_EXPAND = "expand and contract: add the new, write both, move the readers, drop the old in a later release"

ABOUT: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType({
    "attach_partition_scan": (("eugene/E2",), "add a CHECK constraint that implies the bounds NOT VALID, validate it, then attach"),
    "backfill_in_ddl_transaction": (("strong_migrations/backfill_column_default", "eugene/E4"), f"commit the DDL first; {_BATCH}"),
    "blocking_index_build": (("squawk/require-concurrent-index-creation", "eugene/E6", "strong_migrations/add_index", "atlas/PG101"), "CREATE INDEX CONCURRENTLY in a migration of its own, outside a transaction"),
    "breaks_old_readers": (("squawk/renaming-column", "atlas/BC102"), _EXPAND),
    "breaks_old_writers": (("squawk/adding-required-field", "atlas/MF103"), "keep a default (or allow NULL) until no running version writes without the column"),
    "breaks_writes": ((), "fix the trigger, rule or policy that fails; write once to the table in a test"),
    "cascade_victim": (("squawk/ban-drop-table",), "drop what depends on it by name, or keep it; leave CASCADE out"),
    "cast_failure": (("atlas/MF104",), "clean or exclude the values first, or convert them with a USING expression that handles them"),
    "check_violation": (("atlas/MF101",), "correct the rows first, or add it NOT VALID and validate later"),
    "cluster": (("squawk/ban-cluster", "strong_migrations/cluster"), "leave it out; pg_repack does it without blocking"),
    "concurrently_in_transaction": (("squawk/ban-concurrent-index-creation-in-transaction", "atlas/PG103"), "put it in a migration of its own that is marked to run outside a transaction"),
    "constraint_missing_not_valid": (("squawk/constraint-missing-not-valid", "squawk/adding-foreign-key-constraint", "eugene/E1"), _NOT_VALID),
    "crash_resume_not_idempotent": (("strong_migrations/remove_invalid_indexes",), "one statement a migration, or IF [NOT] EXISTS in each"),
    "deadlock_risk": (("eugene/E9",), "one table a migration, or take the locks in the application's order"),
    "default_partition_scan": ((), "give the default partition a CHECK that excludes the new bounds (NOT VALID, VALIDATE) first"),
    "dependency_breakage": (("squawk/ban-drop-column",), "change or drop the dependent object in the same migration, before this statement"),
    "destructive_data": (("squawk/ban-truncate-cascade", "atlas/DS103"), "have the owner of the data agree; take a copy first"),
    "destructive_drop": (("squawk/ban-drop-column", "squawk/ban-drop-table", "strong_migrations/remove_column", "atlas/DS102"), "first deploy code that no longer uses it; then drop, with the data owner's approval"),
    "detach_partition_blocking": (("squawk/require-concurrent-partition-detach",), "DETACH PARTITION … CONCURRENTLY, outside a transaction"),
    "disable_trigger_all": ((), "name the one trigger; foreign keys are checked by triggers too"),
    "disables_lock_timeout": (("squawk/require-timeout-settings", "eugene/E9"), "leave it out: a short lock_timeout with retries is set when the migration runs"),
    "down_fails": ((), "write a down that undoes exactly what up did"),
    "down_not_inverse": ((), "make down restore what up changed; the difference is in `reversible`"),
    "drop_database": (("squawk/ban-drop-database",), "databases are made and dropped outside migrations"),
    "drop_index_blocking": (("squawk/require-concurrent-index-deletion", "atlas/PG102"), "DROP INDEX CONCURRENTLY, outside a transaction"),
    "drop_not_null": (("squawk/ban-drop-not-null",), "make every reader handle NULL first"),
    "duplicate_index": ((), "leave it out: the other index serves the same queries"),
    "enum_value_used_in_same_tx": (("eugene/E8",), "add the value in a migration of its own, use it in the next one"),
    "exclusion_constraint_builds_index": (("eugene/E7", "strong_migrations/add_exclusion_constraint"), "there is no concurrent form: plan a short outage, or check in the application"),
    "exclusion_violation": ((), "correct the overlapping rows first"),
    "explicit_lock_table": ((), "leave it out: each statement takes the lock it needs"),
    "extension": (("squawk/ban-create-extension",), "whoever runs the server installs it; ask for approval"),
    "fails_in_rehearsal": ((), "correct the statement; it fails on this schema"),
    "fails_on_existing_data": (("atlas/MF101",), "correct the rows first, in a migration before this one"),
    "filesystem_access": ((), "a migration changes the database only; load data through a connection"),
    "fk_missing_index": (("eugene/E15",), "CREATE INDEX CONCURRENTLY on the referencing columns first"),
    "fk_validation_blocks_writes": (("squawk/adding-foreign-key-constraint", "eugene/E1", "strong_migrations/add_foreign_key"), _NOT_VALID),
    "fk_violation": (("atlas/MF101",), "delete or repair the orphans first"),
    "full_scan_under_access_exclusive": (("eugene/E2", "squawk/adding-not-nullable-field", "strong_migrations/change_column_null"), "add CHECK (… IS NOT NULL) NOT VALID, validate it, then SET NOT NULL: no scan is needed then"),
    "function_body_breakage": ((), "replace the function in the same migration"),
    "grant_widening": ((), "name the role and the privileges it needs; ask for approval"),
    "identifier_truncated": (("squawk/identifier-too-long",), "choose a name of at most 63 bytes"),
    "if_not_exists_masks_invalid_index": (("squawk/prefer-robust-stmts",), "DROP INDEX CONCURRENTLY IF EXISTS before it, or REINDEX INDEX CONCURRENTLY"),
    "integrity_removed": (("squawk/ban-drop-constraint",), "keep it, or say what guarantees the same from now on"),
    "invalid_index_left": (("strong_migrations/remove_invalid_indexes",), "DROP INDEX CONCURRENTLY the invalid index, correct the data, build it again"),
    "json_type": (("squawk/prefer-jsonb", "eugene/E3", "strong_migrations/json_column"), "use jsonb: json has no equality, so SELECT DISTINCT and others fail"),
    "long_statement": ((), "split it into batches, or build it outside the migration"),
    "loses_crash_safety": ((), "keep the table logged: an unlogged one is empty after a crash and not replicated"),
    "missing_app_privileges": ((), "GRANT the roles that the other tables grant to"),
    "multi_table_locks": (("eugene/E9",), "one table a migration"),
    "multiple_scans": ((), "put the changes into one ALTER TABLE: one pass for all"),
    "no_down": ((), "write the down, or mark the migration irreversible"),
    "not_atomic": ((), "one statement a migration, so that it is applied wholly or not at all"),
    "not_null_violation": (("atlas/MF104", "eugene/E2"), "fill the NULLs first"),
    "opaque_do_block": ((), "write plain statements where possible; what it did here was observed"),
    "partitioning_choice": ((), "agree on the partition key and bounds: they cannot be changed later"),
    "plan_regression": ((), "keep the index until no query needs it, or build the one that the new plan needs first, CONCURRENTLY"),
    "primary_key_builds_index": (("squawk/adding-serial-primary-key-field", "eugene/E7"), "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … PRIMARY KEY USING INDEX"),
    "primary_key_sets_not_null": (("eugene/E2",), "make the column NOT NULL by a validated CHECK first"),
    "refresh_matview_blocking": (("squawk/ban-refresh-materialized-view", "eugene/E6"), "REFRESH MATERIALIZED VIEW CONCURRENTLY (needs a unique index), outside the migration"),
    "reindex_blocking": (("squawk/require-concurrent-reindex",), "REINDEX … CONCURRENTLY, outside a transaction"),
    "rename_column": (("squawk/renaming-column", "strong_migrations/rename_column", "atlas/BC102"), _EXPAND),
    "rename_enum_value": ((), "add the new value, move the rows, and stop using the old one"),
    "rename_table": (("squawk/renaming-table", "strong_migrations/rename_table", "atlas/BC101"), "leave a view of the old name in the same transaction, until nobody uses it"),
    "replica_identity_lost": ((), "set REPLICA IDENTITY USING INDEX first, or take the table out of the publication"),
    "rls_left_off": ((), "ENABLE ROW LEVEL SECURITY and give it policies as its siblings have"),
    "rls_without_policy": ((), "CREATE POLICY in the same migration: without one nobody but the owner sees a row"),
    "security_definer_search_path": ((), "SET search_path = pg_catalog, pg_temp on the function and name schemas in it"),
    "sequence_exhaustion": (("squawk/prefer-bigint-over-int",), "move the column to bigint before it runs out"),
    "server_configuration": ((), "whoever runs the server changes its configuration"),
    "server_side_program": ((), "a migration runs no program on the server"),
    "syntax_error": ((), "correct the SQL"),
    "table_rewrite": (("squawk/changing-column-type", "squawk/adding-field-with-default", "eugene/E5", "strong_migrations/change_column", "atlas/PG303"), "add a new column, copy in batches, swap names; or a type that needs no rewrite"),
    "transaction_nesting": (("squawk/transaction-nesting",), "leave BEGIN and COMMIT out: the migration runs in a transaction with its history row"),
    "truncation": (("atlas/MF104",), "shorten the values first"),
    "type_change_breaks_clients": (("squawk/changing-column-type",), "check every client that reads the column"),
    "unbatched_dml": (("strong_migrations/backfill_column_default",), _BATCH),
    "uncommitted_transaction": (("squawk/ban-uncommitted-transaction",), "add COMMIT, or leave BEGIN out"),
    "unique_constraint_builds_index": (("squawk/disallowed-unique-constraint", "eugene/E7"), "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX"),
    "unique_violation": (("atlas/MF101",), "remove the duplicates first"),
    "vacuum_full": (("squawk/ban-vacuum-full",), "plain VACUUM, or pg_repack"),
    "validate_in_same_transaction": (("squawk/constraint-missing-not-valid", "eugene/E4"), "VALIDATE CONSTRAINT in a migration of its own"),
    "validate_will_fail": ((), "correct the rows before the migration that validates"),
    "volatile_default": (("squawk/adding-field-with-default", "eugene/E11", "strong_migrations/add_column_default", "atlas/PG302"), "add the column without a default, set the default, then fill old rows in batches"),
    "work_while_holding_exclusive_lock": (("eugene/E4",), "end the transaction after the statement that takes the lock; do the rest in the next migration"),
})  # fmt: skip


def hazard(
    identifier: str, statement: int, severity: Severity, reason: str, *, source: Source = "observed",
    evidence: Mapping[str, Json] | None = None, remedy: str = "",
) -> Hazard:  # fmt: skip
    """A hazard with its anchors and remedy."""
    anchors, known = ABOUT[identifier]
    return Hazard(
        identifier, statement, severity, reason, remedy or known, source, anchors, evidence or MappingProxyType({})
    )


def milliseconds(value: float) -> str:
    """A duration as people say it."""
    if value < 1000:
        return f"{value:.0f} ms"
    return f"{value / 1000:.1f} s" if value < 120_000 else f"{value / 60_000:.0f} min"
