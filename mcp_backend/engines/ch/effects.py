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
    | apply_mutations_on_fly | force_optimize_projection\w* | exact_rows_before_limit | priority | log_comment
    | workload
    """,
    re.VERBOSE,
)
"""Settings that a statement may set for itself: how it runs and what it shows, never what it may do. Left out on
purpose: `output_format_schema` names a file to write, `parallel_replicas_custom_key` is an expression."""


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
    if function.name.lower() in REFUSED:
        return REFUSED[function.name.lower()]
    if function.origin in ("ExecutableUserDefined", "WasmUserDefined"):
        return "runs a program of its own"
    if function.aggregate or function.origin == "SQLUserDefined":
        return ""
    if function.name.startswith("__"):
        return "is internal to the server"
    if function.deterministic or function.name in FUNCTIONS or PATTERNS.fullmatch(function.name):
        return ""
    return "is not known to only read"
