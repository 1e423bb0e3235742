"""The parts of PostgreSQL's grammar that reads are made of: node types and field names of libpg_query's trees.

https://github.com/pganalyze/libpg_query/blob/18-latest/protobuf/pg_query.proto lists them all.
"""

from collections.abc import Mapping
from types import MappingProxyType


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NODES = _set(
    """
    A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Alias BitString BoolExpr Boolean BooleanTest CaseExpr
    CaseWhen CoalesceExpr CollateClause ColumnDef ColumnRef CommonTableExpr Float FuncCall GroupingFunc GroupingSet
    Integer JoinExpr JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor
    JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput
    JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTable JsonTableColumn JsonTablePathSpec
    JsonValueExpr List MinMaxExpr NamedArgExpr NullTest ParamRef RangeFunction RangeSubselect RangeTableFunc
    RangeTableFuncCol RangeTableSample RangeVar ResTarget RowExpr SQLValueFunction SelectStmt SetToDefault SortBy
    String SubLink TypeCast TypeName WindowDef WithClause XmlExpr XmlSerialize
    """
)

FIELDS = _set(
    """
    absent_on_null argnumber agg_distinct agg_filter agg_order agg_star agg_within_group alias aliascolnames
    aliasname all arg args arrayBounds boolop booltesttype boolval bsval btype catalogname coldefexpr coldeflist
    colexpr collClause collname colname colnames coltype column_name columns constructor content context_item coerce
    ctematerialized ctename ctequery ctes cycle_clause cycle_col_list cycle_mark_column cycle_mark_default
    cycle_mark_value cycle_path_column defresult distinctClause docexpr elements encoding endOffset expr exprs
    fields for_ordinality format format_type frameOptions fromClause func_variadic funcformat funcname functions
    fval groupClause groupDistinct havingClause indent indirection inh inhcount is_local is_not_null is_rowsfrom
    is_slice isNatural isnull item_type items ival jointype join_using_alias key kind larg lateral lexpr lidx
    limitCount limitOffset limitOption list_end list_start location method minmaxtype name name_location named_args
    names namespaces node nulltesttype number on_empty on_error op operName orderClause ordinality output over
    partitionClause passing pathspec pct_type quals query quotes rarg raw_expr recursive refname relation relname
    relpersistence repeatable result returning rexpr rexpr_list_end rexpr_list_start row_format rowexpr schemaname
    search_breadth_first search_clause search_col_list search_seq_column setof sortClause sortby_dir sortby_nulls
    startOffset string subLinkType subquery subselect sval targetList testexpr type typeName typemod typmod typmods
    uidx unique unique_keys useOp usingClause val value valuesLists whereClause windowClause withClause wrapper
    xmloption
    """
)

WRITE_NODES = _set(
    """
    CreateTableAsStmt DeleteStmt IndexElem InferClause InsertStmt IntoClause LockingClause MergeStmt MergeWhenClause
    MultiAssignRef OnConflictClause ReturningClause ReturningOption UpdateStmt DefElem
    """
)
"""What EXPLAIN may be asked about without ANALYZE, and nothing else may contain."""

WRITE_FIELDS = _set(
    """
    accessMethod action collation cols colNames colno commandType condition conname defaction defname defnamespace
    if_not_exists indexElems infer into intoClause joinCondition lockedRels lockingClause matchKind mergeWhenClauses
    ncolumns nulls_ordering objtype onCommit onConflictClause options ordering opclass override rel returningClause
    selectStmt source skipData sourceRelation strength tableSpaceName values waitPolicy
    """
)

HIDDEN_FUNCTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "JsonArrayAgg": ("json_arrayagg",),
        "JsonArrayConstructor": ("json_array",),
        "JsonArrayQueryConstructor": ("json_array",),
        "JsonFuncExpr": ("json_exists", "json_query", "json_value"),
        "JsonObjectAgg": ("json_objectagg",),
        "JsonObjectConstructor": ("json_object",),
        "JsonParseExpr": ("json",),
        "JsonScalarExpr": ("json_scalar",),
        "JsonSerializeExpr": ("json_serialize",),
        "JsonTable": ("json_table",),
        "XmlSerialize": ("xmlserialize",),
    }
)
"""Syntax of this grammar that an older server reads as a call of a function of that name."""
