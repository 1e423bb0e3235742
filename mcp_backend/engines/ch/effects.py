"""Which functions, tables and settings a read may use.

The server's own catalog says which functions are deterministic, and a function whose result depends on nothing but
its arguments has no effect. The rest is listed by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTIONS = _set(
    """
    UTCTimestamp arrayJoin arrayPartialReverseSort arrayPartialShuffle arrayPartialSort arrayShuffle authenticatedUser
    blockNumber blockSerializedSize blockSize buildId connectionId currentDatabase currentProfiles currentQueryID
    currentRoles currentSchemas currentUser dateTimeToUUIDv7 defaultProfiles defaultRoles displayName
    dumpColumnStructure enabledProfiles enabledRoles filesystemAvailable filesystemCapacity filesystemUnreserved
    financialNetPresentValueExtended formatQuery formatQueryOrNull formatQuerySingleLine formatQuerySingleLineOrNull
    FQDN fuzzBits fuzzQuery generateRandomStructure generateSnowflakeID generateULID generateUUIDv4 generateUUIDv7
    getMacro getMergeTreeSetting getOSKernelVersion getServerPort getServerSetting getSetting getSettingOrDefault
    globalVariable grouping hostName initialQueryID initialQueryStartTime isConstant joinGet joinGetOrNull
    lowCardinalityIndices lowCardinalityKeys neighbor now now64 nowInBlock nowInBlock64 obfuscateQuery queryID query_id
    queryString rand rand64 randBernoulli randBinomial randCanonical randChiSquared randConstant randExponential
    randFisherF randLogNormal randNegativeBinomial randNormal randPoisson randStudentT randUniform randomFixedString
    randomPrintableASCII randomString randomStringUTF8 regionHierarchy regionIn regionToArea regionToCity
    regionToContinent regionToCountry regionToDistrict regionToName regionToPopulation regionToTopContinent revision
    rowNumberInAllBlocks rowNumberInBlock runningAccumulate runningDifference runningDifferenceStartingWithFirstValue
    serverTimezone serverUUID shardCount shardNum tcpPort timezone timezoneOf timezoneOffset toColumnTypeName today
    transactionID transactionLatestSnapshot transactionOldestSnapshot untuple uptime variantElement version yesterday
    zookeeperSessionUptime
    """
)
"""Functions that are not deterministic, and that read no file, open no connection and change nothing."""
PATTERNS = re.compile(r"dict(?:Get|Has|IsIn)\w*|timeSeries\w+|uniqThetaSketch\w*")

_OUTSIDE = _set(
    """
    url urlcluster s3 s3cluster gcs oss cosn azureblobstorage azureblobstoragecluster hdfs hdfscluster remote
    remotesecure cluster clusterallreplicas mysql postgresql mongodb redis sqlite jdbc odbc iceberg icebergs3
    icebergazure icebergcluster deltalake deltalakecluster hudi hudicluster paimon arrowflight ytsaurus filecluster
    iceberglocal deltalakelocal prometheusquery prometheusqueryrange
    """
)
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "sleep": "keeps the server waiting",
        "sleepeachrow": "keeps the server waiting",
        "logtrace": "writes to the server's log",
        "file": "reads files of the server",
        "filesystem": "lists files of the server",
        "catboostevaluate": "loads a library into the server",
        "hascolumnintable": "can open connections to other servers; ask system.columns",
        "getclienthttpheader": "shows the headers of our own requests",
        "generateserialid": "counts up in the keeper",
        "trap": "can crash the server",
        "addresstoline": "looks into the server process",
        "addresstolinewithinlines": "looks into the server process",
        "addresstosymbol": "looks into the server process",
        "executable": "runs programs",
        "executablepool": "runs programs",
        "python": "runs programs",
        "input": "reads what an INSERT sends",
        "dictionary": "is not for read-only users; select from the dictionary as if it were a table",
        "zeros": "is not for read-only users; use numbers()",
        "zeros_mt": "is not for read-only users; use numbers_mt()",
        "viewexplain": "is not for read-only users; let EXPLAIN be the whole statement",
        "format": "is not for read-only users; use values()",
        "loop": "never ends",
        **dict.fromkeys(_OUTSIDE, "opens files or connections to other servers"),
    }
)
"""Lower-case names and why, whatever the catalog says of them: also where this server has no such function."""

TABLE_FUNCTIONS = _set(
    """
    numbers numbers_mt generateseries generate_series values sqlstandardvalues view viewifpermitted merge generaterandom
    null primes mergetreeindex mergetreeprojection mergetreetextindex mergetreeanalyzeindexes fuzzjson fuzzquery
    """
)
"""Lower-case names of table functions that read local tables or make rows up."""

SECRET_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "named_collections": "holds the credentials of other systems",
        "users": "shows how users authenticate",
        "user_directories": "shows where users are kept",
        "stack_trace": "interrupts every thread of the server",
        "jemalloc_profile_text": "looks into the server process",
        "symbols": "looks into the server process",
        "fail_points": "is for tests of ClickHouse",
    }
)
"""Tables of the database `system`."""
PROGRAM_ENGINES = frozenset(["Executable", "ExecutablePool"])
CONSUMED_ENGINES = frozenset(["Kafka", "RabbitMQ", "NATS", "FileLog", "S3Queue", "AzureQueue"])
"""Reading takes messages away from who should get them."""

SETTINGS = re.compile(
    r"""
    max_threads | max_block_size | max_execution_time | max_memory_usage | max_result_rows | max_result_bytes
    | limit | offset | max_(rows|bytes)_(to_read|to_group_by|to_sort|in_set|in_join|in_distinct|before_external_\w+)
    | max_(ast_\w+|expanded_ast_elements|subquery_depth|columns_to_read|final_threads|streams_\w+)
    | max_(temporary_\w+|bytes_ratio_before_\w+|threads_for_\w+|number_of_\w+) | min_(bytes|rows)_\w+
    | (read|group_by|sort|set|join|distinct|result|timeout)_overflow_mode | join_\w+ | merge_tree_\w+
    | read_in_order_\w+ | preferred_\w+ | group_by_use_nulls | group_by_two_level_threshold(_bytes)? | final
    | extremes | totals_mode | aggregate_functions_null_for_empty | any_join_distinct_right_table_keys
    | (enable|allow_experimental)_analyzer | optimize_\w+ | query_plan_\w+ | enable_optimize_\w+
    | use_skip_indexes\w* | use_uncompressed_cache | use_query_condition_cache
    | force_(index_by_date|primary_key|data_skipping_indices) | force_optimize_\w+ | prefer_\w+
    | enable_(multiple_)?prewhere\w* | move_all_conditions_to_prewhere | compile_\w+ | min_count_to_compile_\w+
    | distributed_\w+ | parallel_replicas_(?!custom_key)\w+ | skip_unavailable_shards | max_parallel_replicas
    | load_balancing | select_sequential_consistency | transform_null_in | cast_keep_nullable | union_default_mode
    | (except|intersect)_default_mode | short_circuit_function_evaluation | date_time_overflow_behavior
    | session_timezone | allow_suspicious_\w+ | allow_experimental_\w+ | enable_\w+_type
    | enable_named_columns_in_function_tuple
    | output_format_(?!schema)\w+ | format_csv_\w+ | max_recursive_cte_evaluation_depth | allow_deprecated_\w+
    | use_(statistics|text_index|primary_key)\w* | regexp_max_matches_per_row | count_distinct_\w+
    | apply_mutations_on_fly | force_\w+ | exact_rows_before_limit | priority | log_comment | workload
    | enable_(?!debug|\w*log|job_stack)\w+ | use_(?!query_cache$)\w+ | automatic_parallel_replicas_\w+
    | do_not_merge_across_\w+ | split_(parts_ranges|intersecting)_\w+ | apply_\w+_after_final | apply_deleted_mask
    | (max|min)_joined_block_\w+ | joined_\w+ | parallel_(hash_join|non_joined)_\w+ | partial_merge_join_\w+
    | cross_(to_inner_)?join_\w+ | grace_hash_join_\w+ | single_join_\w+ | multiple_joins_\w+
    | default_max_bytes_in_join
    | max_rows_in_set_to_optimize_join | rewrite_\w+ | convert_query_to_cnf | normalize_function_names | legacy_\w+
    | analyzer_\w+ | aggregation_\w+ | low_cardinality_\w+ | empty_result_for_\w+ | (variant|dynamic)_throw_\w+
    | (max|min)_(rows|bytes)_to_read_leaf | (read|timeout)_overflow_mode_leaf | remerge_\w+ | temporary_files_\w+
    | read_backoff_\w+ | (local|remote)_filesystem_read_\w+ | read_from_filesystem_cache\w* | max_read_buffer_size\w*
    | ignore_data_skipping_indices | secondary_indices_\w+ | per_part_index_stats | move_primary_key_columns_\w+
    | (vector_search|hnsw|text_index|annoy_index)_\w+ | allow_(push_predicate|reorder_prewhere|key_condition)_\w+
    | allow_(simdjson|hyperscan|nonconst_timezone_arguments|general_join_planning|statistics?(_optimize)?)
    | allow_not_comparable_\w+ | allow_dynamic_type_in_\w+ | fallback_to_stale_replicas_\w+
    | max_replica_delay_\w+ | max_skip_unavailable_\w+ | input_format_(?!record_errors)\w+ | format_custom_\w+
    | format_tsv_\w+ | date_time_\w+ | interval_output_format | bool_(true|false)_representation | cast_\w+
    | json_type_\w+ | type_json_\w+ | schema_inference_\w+ | describe_\w+ | show_\w+ | asterisk_include_\w+
    | print_pretty_type_names | mysql_map_\w+ | function_\w+ | functions_h3_\w+ | formatdatetime_\w+ | parsedatetime_\w+
    | geotoh3_\w+ | h3togeo_\w+ | least_greatest_\w+ | splitby_\w+ | decimal_check_overflow | count_matches_\w+
    | validate_polygons | extract_(kvp|key_value_pairs)_\w+ | short_circuit_function_evaluation_\w+
    | check_query_single_value_result | (query_plan|merge_table)_max_\w+ | inject_random_order_\w+ | flatten_nested
    | system_events_show_zero_values
    """,
    re.VERBOSE,
)
"""Settings that a statement may set for itself: how it runs and what it shows, never what it may do. Left out on
purpose: `output_format_schema` and `input_format_record_errors_file_path` name files to write,
`parallel_replicas_custom_key` is an expression, `implicit_table_at_top_level` a table, `log_queries` hides a read."""
OFF = re.compile("use_query_cache")
"""Settings that a statement may only switch off: on, they keep its answer for the next one who asks."""
ALSO_FUNCTIONS = frozenset(("format",))
"""Table functions that are refused, and that have a namesake which only computes: `format('{}', x)`."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the server's catalog describes it. `deterministic` is `None` where the catalog does not know."""

    name: str
    aggregate: bool
    origin: str
    deterministic: bool | None
    body: str = ""


def objection(function: Function) -> str:
    """Why a read may not call the function, or nothing. A user's function in SQL is judged by its body."""
    low = function.name.lower()
    if low in REFUSED and low not in ALSO_FUNCTIONS:
        return REFUSED[low]
    if function.origin in ("ExecutableUserDefined", "WasmUserDefined"):
        return "runs a program of its own"
    if function.aggregate or function.origin == "SQLUserDefined":
        return ""
    if function.name.startswith("__"):
        return "is internal to the server"
    if function.deterministic or function.name in FUNCTIONS or PATTERNS.fullmatch(function.name):
        return ""
    return "is not known to only read"
