"""The parts of ClickHouse's grammar that reads are made of, by the names that EXPLAIN AST gives them (IAST::getID).

An allow-list: what a later release adds is not a read until it is added here.
"""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


READS = frozenset(
    {"SelectWithUnionQuery", "DescribeQuery", "DescribeCacheQuery", "CheckQuery"}
    | {f"Exists{what}Query" for what in ("Table", "View", "Database", "Dictionary")}
    | {f"ShowCreate{what}Query" for what in ("Table", "View", "Database", "Dictionary")}
    | {"ShowTables", "ShowColumns", "ShowIndexes", "ShowFunctions", "ShowEngineQuery", "ShowSetting"}
    | {"ShowProcesslistQuery", "ShowGrantsQuery", "ShowPrivilegesQuery"}
)
"""What a statement may be. EXPLAIN, and SHOW of roles, profiles and quotas, have names of several words."""
SHOWN = frozenset(
    ["CURRENT ROLES", "ENABLED ROLES", "ROLES", "SETTINGS PROFILES", "QUOTAS", "CURRENT QUOTA", "QUOTA", "ROW POLICIES"]
    + [f"CREATE {what}" for what in ("SETTINGS PROFILE", "ROLE", "ROW POLICY", "QUOTA")]
)
"""Of what SHOW has to say about access: nothing that holds password hashes."""
PARTS = _set(
    """
    ArrayJoin Asterisk ColumnsApplyTransformer ColumnsExceptTransformer ColumnsListMatcher ColumnsRegexpMatcher
    ColumnsReplaceTransformer ColumnsReplaceTransformer::Replacement ColumnsStrictTransformer ColumnsTransformerList
    DataType EnumDataType ExpressionList Function Identifier InterpolateElement Literal NameTypePair ObjectTypeArgument
    OrderByElement QualifiedAsterisk QualifiedColumnsListMatcher QualifiedColumnsRegexpMatcher QueryParameter
    SampleRatio SelectIntersectExceptQuery SelectQuery SelectWithUnionQuery Set Subquery TableExpression TableIdentifier
    TableJoin TablesInSelectQuery TablesInSelectQueryElement TupleDataType WindowDefinition WindowListElement
    WithElement
    """
)
"""What a read may contain."""
WORDS = {
    "InsertQuery": "INSERT",
    "SYSTEM": "SYSTEM",
    "Rename": "RENAME or EXCHANGE",
    "Set": "SET",
    "UseQuery": "USE, which means nothing here: name the database in front of the table",
    "KillQueryQuery": "KILL",
    "ExecuteAsQuery": "EXECUTE AS, which borrows the rights of another user",
    "ParallelWithQuery": "PARALLEL WITH",
    "ASTTransactionControl": "transaction control",
    "ShowAccessQuery": "SHOW ACCESS, which shows how users authenticate",
}
"""How people call a statement whose node says it otherwise."""
BEGINNINGS = frozenset(["SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", ""])
"""First words of what may be a read; a parenthesis has none."""
