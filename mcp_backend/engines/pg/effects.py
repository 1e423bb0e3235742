"""Which functions only compute or look. PostgreSQL's own say so by their volatility, with few exceptions; bodies in SQL
and PL/pgSQL are read; of the rest, only what is known.

https://www.postgresql.org/docs/current/xfunc-volatility.html: a function that changes the database must be VOLATILE.
"""

from mcp_backend.engines.pg.catalog import CONSTRUCTOR, Function


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


VOLATILE_READS = _set(
    """
    amvalidate array_sample array_shuffle clock_timestamp current_query currval gen_random_uuid lastval lo_get
    pg_blocking_pids pg_collation_actual_version pg_control_checkpoint pg_control_init pg_control_recovery
    pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
    pg_database_collation_actual_version pg_database_size pg_get_aios pg_get_backend_memory_contexts
    pg_get_loaded_modules pg_get_multixact_members pg_get_sequence_data pg_get_shmem_allocations
    pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_replay_pause_state pg_get_wal_resource_managers
    pg_get_wal_summarizer_state pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
    pg_isolation_test_session_is_blocked pg_jit_available
    pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
    pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size
    pg_replication_origin_progress pg_safe_snapshot_blocking_pids pg_sequence_last_value
    pg_show_replication_origin_status pg_stat_clear_snapshot pg_stat_have_stats pg_table_size pg_tablespace_size
    pg_total_relation_size
    pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status random random_normal timeofday txid_status
    uuidv4 uuidv7
    """
)
"""PostgreSQL's own functions that are VOLATILE because their answer changes, not because they change anything."""

STABLE_EFFECTS = {
    **dict.fromkeys(
        _set(
            "database_to_xml database_to_xml_and_xmlschema database_to_xmlschema schema_to_xml "
            "schema_to_xml_and_xmlschema schema_to_xmlschema table_to_xml table_to_xml_and_xmlschema table_to_xmlschema"
        ),
        "reads relations that are named in data, where they cannot be checked",
    ),
    **dict.fromkeys(
        _set(
            "pg_input_is_valid pg_input_error_info array_in domain_in multirange_in range_in record_in "
            "satisfies_hash_partition"
        ),
        "runs code of a type or a table that is named in data",
    ),
    **dict.fromkeys(
        _set("pg_current_xact_id txid_current"),
        "takes an id of a transaction for good, which only writes need: pg_current_xact_id_if_assigned() looks",
    ),
}
"""PostgreSQL's own functions that are not VOLATILE and yet do more than look."""

EXTENSION_READS = {
    "amcheck": _set("bt_index_check gin_index_check verify_heapam"),
    "pg_buffercache": _set(
        "pg_buffercache_pages pg_buffercache_summary pg_buffercache_usage_counts pg_buffercache_numa_pages"
    ),
    "pg_freespacemap": _set("pg_freespace"),
    "pg_stat_statements": _set("pg_stat_statements pg_stat_statements_info"),
    "pg_visibility": _set("pg_visibility pg_visibility_map pg_visibility_map_summary pg_check_visible pg_check_frozen"),
    "pgcrypto": _set(
        "gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea pgp_sym_encrypt "
        "pgp_sym_encrypt_bytea"
    ),
    "pgrowlocks": _set("pgrowlocks"),
    "pgstattuple": _set("pgstattuple pgstattuple_approx pgstatindex pgstatginindex pgstathashindex pg_relpages"),
    "tablefunc": _set("normal_rand"),
    "uuid-ossp": _set("uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4"),
}
"""VOLATILE functions of extensions that only look, or roll dice."""

STABLE_EXTENSIONS = _set(
    """
    btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch h3 h3_postgis hstore intarray isn
    ltree ltree_plpython3u pg_buffercache pg_freespacemap pg_stat_statements pg_trgm pg_visibility pgcrypto pgrouting
    pgrowlocks pgstattuple postgis postgis_raster postgis_sfcgal postgis_topology rum seg sslinfo timescaledb unaccent
    uuid-ossp vector
    """
)
"""Extensions whose STABLE functions keep what the word promises: none runs a text as SQL or reaches outside."""

MISDECLARED = _set("connectby crosstab crosstab2 crosstab3 crosstab4 crosstab_hash xpath_table xslt_process")
"""Functions of contrib modules that run a text as SQL or open files whatever they are declared."""


def vouched_for(function: Function, approved: frozenset[str]) -> bool:
    """Whether the policy names the function."""
    return f"{function.schema}.{function.name}" in approved


def objection(function: Function, approved: frozenset[str], *, told: bool = False) -> str:
    """Why the function may not be called in a read, `""` when it may or when its body or parts will tell.

    `approved` are names that the policy vouches for, as `schema.function`. `told`: what the function is given as a text
    to run or to look into is known, and judged beside it.
    """
    if vouched_for(function, approved):
        return ""
    if told and (function.builtin or function.extension == "tablefunc"):
        return ""
    if function.kind == "p":
        return "is a procedure"
    if function.builtin:
        return _builtin(function)
    if function.kind == "a" or function.definition is not None or function.language == CONSTRUCTOR:
        return ""
    where = f"of the extension {function.extension}" if function.extension else f"written in {function.language}"
    # Extensions declare operators of their types with functions of the server itself (citext, isn): language internal.
    compiled = function.language in ("c", "internal") and function.extension
    if compiled and function.name not in MISDECLARED:
        if function.volatility == "i":
            return ""
        if function.volatility == "s" and function.extension in STABLE_EXTENSIONS:
            return ""
        if function.name in EXTENSION_READS.get(function.extension or "", ()):
            return ""
    return f"({where}) is not known to only read"


def _builtin(function: Function) -> str:
    if function.volatility == "v":
        looks = function.name in VOLATILE_READS or function.name.startswith("pg_stat_get_")
        return "" if looks else "can have an effect"
    return STABLE_EFFECTS.get(function.name, "")


SECRET_RELATIONS = _set(
    """
    pg_authid pg_file_settings pg_hba_file_rules pg_ident_file_mappings pg_shadow pg_subscription pg_user_mapping
    pg_user_mappings
    """
)
"""Catalogs that hold credentials or say who may log in how."""

SECRET_INFORMATION = _set("_pg_user_mappings user_mapping_options user_mappings")

SAMPLERS = _set("bernoulli system system_rows system_time")
