"""Whether Python code in a line only looks: every call in it is one that changes nothing, as its syntax tree tells."""

import ast

from mcp_backend.workspace.canonical import words

_FUNCTIONS = words(
    "print len sorted list dict set tuple str int float bool bytes repr sum min max any all enumerate zip range "
    "map filter isinstance issubclass type hasattr format round reversed next iter abs ord chr hex id vars dir "
    "help exit quit input Path PurePath Counter defaultdict OrderedDict pprint pp glob frozenset hash bin divmod "
    "callable"
)
_METHODS = words(
    "read readline readlines read_text read_bytes splitlines split rsplit strip lstrip rstrip lower upper title "
    "get keys values items format join startswith endswith glob rglob iterdir exists is_file is_dir is_symlink "
    "stat count index find rfind group groups groupdict match search findall finditer sub subn fullmatch compile "
    "load loads dumps safe_load safe_load_all walk listdir scandir isfile isdir getsize getmtime abspath realpath "
    "basename dirname relpath normpath expanduser splitext resolve relative_to with_suffix joinpath as_posix "
    "absolute Path PurePath Counter defaultdict most_common partition rpartition encode decode hexdigest digest "
    "sha256 sha1 md5 append extend add discard setdefault sort reverse pprint exit getenv cwd getcwd isoformat "
    "now time perf_counter fromisoformat strftime strptime parse tree getroot iter findtext DictReader reader "
    "iglob version parse_args zfill ljust rjust center casefold isdigit isalpha union intersection difference "
    "deepcopy total_seconds getsource cpu_count"
)
_CHANGING_OWNERS = frozenset(("os", "shutil", "pathlib", "subprocess", "sys"))
_OF_OWNERS = words(
    "listdir scandir walk stat exit getenv getcwd cpu_count getsize Path PurePath version isfile isdir exists"
)


_VALUES = words(
    "name stem suffix suffixes parent parents parts environ path stdout stderr stdin argv version version_info "
    "platform sep linesep st_size st_mtime text tag attrib executable prefix maxsize year month day T I M S X"
)
"""Attributes that are no functions which change anything."""


def only_looks(code: str) -> bool:
    """Whether the code can change no file and start no program. False for what is not understood."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return all(_looks(node, called) for node in ast.walk(tree))


def _looks(node: ast.AST, called: set[int]) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return False
        case ast.Import(names=named):
            renamed = [alias for alias in named if alias.asname]
            return not any(alias.asname in _FUNCTIONS or alias.name in _CHANGING_OWNERS for alias in renamed)
        case ast.ImportFrom(module=module, names=named):
            known = _OF_OWNERS if module in _CHANGING_OWNERS else _FUNCTIONS | _METHODS | _VALUES
            return all(alias.name in known and alias.asname not in _FUNCTIONS for alias in named)
        case ast.Call():
            return _harmless(node)
        case ast.Attribute(attr=name) if id(node) not in called:
            return name in _VALUES or name in _METHODS or name in ("__file__", "__version__", "__name__", "__doc__")
        case ast.Assign() | ast.NamedExpr() | ast.For() | ast.With() | ast.comprehension():
            return not _renames(node)
        case _:
            return True


def _renames(node: ast.AST) -> bool:
    """Whether a name of a harmless function is given to something else: `print = os.system`."""
    return any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id in _FUNCTIONS for n in ast.walk(node))


def _harmless(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id="open"):
            return _reads(call, 1)
        case ast.Name(id=name):
            return name in _FUNCTIONS and not any(k.arg == "file" and not _stream(k.value) for k in call.keywords)
        case ast.Attribute(attr="open", value=value):
            return _reads(
                call, 1 if isinstance(value, ast.Name) and value.id in ("io", "codecs", "gzip", "bz2", "lzma") else 0
            )
        case ast.Attribute(attr="replace", value=value):
            return len(call.args) >= 2 and not (isinstance(value, ast.Name) and value.id in _CHANGING_OWNERS)
        case ast.Attribute(attr="write", value=ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr")):
            return True
        case ast.Attribute(attr=name, value=ast.Name(id=owner)) if owner in _CHANGING_OWNERS:
            return name in _OF_OWNERS
        case ast.Attribute(attr=name):
            return name in _METHODS
        case _:
            return False


def _stream(value: ast.expr) -> bool:
    return isinstance(value, ast.Attribute) and value.attr in ("stderr", "stdout")


def _reads(call: ast.Call, at: int) -> bool:
    """Whether `open` has a mode of reading, or none."""
    given = [*call.args[at : at + 1], *(k.value for k in call.keywords if k.arg == "mode")]
    return all(
        isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) <= set("rbt")
        for mode in given
    )
