"""What one Python file says about the URLs and views of Django, read from its source and never run."""

import ast
import re

from mcp_backend.contracts.gate.python_words import Json, dotted, keyword, literals, written

FORM = "2"
_SAYS = re.compile(rb"\b(django|rest_framework|urlpatterns|ROOT_URLCONF)\b")
_PATHS = ("path", "re_path", "url")
_LIMITS = {"require_GET": ["GET"], "require_POST": ["POST"], "require_safe": ["GET"]}


def read(source: bytes) -> Json | None:
    """The facts of a file, or `None` when it has none or cannot be read."""
    if not _SAYS.search(source):
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    said: dict[str, Json] = {
        "urls": [], "registers": [], "classes": {}, "functions": {}, "root": "", "lists": {}, "nested": {},
    }  # fmt: skip
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="ROOT_URLCONF")], value=ast.Constant(value=str() as root)):
                said["root"] = root
            case ast.Assign(targets=[ast.Name(id="urlpatterns")], value=value):
                said["urls"] += _entries(value)
            case ast.AnnAssign(target=ast.Name(id="urlpatterns"), value=ast.expr() as value):
                said["urls"] += _entries(value)
            case ast.AugAssign(target=ast.Name(id="urlpatterns"), value=value):
                said["urls"] += _entries(value)
            case ast.Call(func=ast.Attribute(attr="extend", value=ast.Name(id="urlpatterns")), args=[value]):
                said["urls"] += _entries(value)
            case ast.Call(func=ast.Attribute(attr="append", value=ast.Name(id="urlpatterns")), args=[value]):
                said["urls"] += _entries(ast.List(elts=[value]))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List() as value):
                if any(dotted(call.func) in _PATHS for call in value.elts if isinstance(call, ast.Call)):
                    said["lists"][name] = _entries(value)
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=function, args=[ast.Name() | ast.Attribute() as parent, path, *_]),
            ) if dotted(function).endswith("Router"):
                said["nested"][name] = [dotted(parent), _text(path)]
            case ast.Call(func=ast.Attribute(attr="register"), args=[_, _, *_]):
                said["registers"] += _registered(node)
            case ast.ClassDef():
                said["classes"].setdefault(node.name, _class(node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if (allowed := _allowed(node)) is not None:
                    said["functions"].setdefault(node.name, allowed)
            case _:
                pass
    return said


def _entries(node: ast.expr) -> list[Json]:
    """The entries of a list of patterns; what is no such entry has no path, so that it counts as unreadable."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [entry for item in items for entry in _entries(item)]
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return [*_entries(left), *_entries(right)]
        case ast.Starred(value=value):
            return _entries(value)
        case ast.Attribute(attr="urls", value=owner):
            return [_entry(node, "", router=dotted(owner))]
        case ast.Name(id=name) if name != "urlpatterns":
            return [_entry(node, "", inner=name)]
        case ast.Call(func=function, args=[ast.List() as inside, *_]) if dotted(function) == "format_suffix_patterns":
            return _entries(inside)
        case ast.Call(func=function, args=[first, second, *_]) if dotted(function) in _PATHS:
            return [_pattern(node, first, second, dotted(function) != "path")]
        case _:
            return [_entry(node, None)]


def _pattern(node: ast.expr, first: ast.expr, view: ast.expr, regex: bool) -> Json:
    path = _text(first)
    match view:
        case ast.Call(func=ast.Name(id="include"), args=[ast.Constant(value=str() as module), *_]):
            return _entry(node, path, regex, include=module)
        case ast.Call(
            func=ast.Name(id="include"), args=[ast.Tuple(elts=[ast.Constant(value=str() as module), *_]), *_]
        ):
            return _entry(node, path, regex, include=module)
        case (
            ast.Call(func=ast.Name(id="include"), args=[ast.List() as inside, *_])
            | ast.Call(func=ast.Name(id="include"), args=[ast.Tuple(elts=[ast.List() as inside, *_]), *_])
        ):
            return _entry(node, path, regex, inner=_entries(inside))
        case ast.Call(func=ast.Name(id="include"), args=[ast.Tuple(elts=[ast.Name(id=name), *_]), *_]):
            return _entry(node, path, regex, include=name, inner=name)
        case (
            ast.Call(func=ast.Name(id="include"), args=[ast.Attribute(attr="urls", value=owner), *_])
            | ast.Call(
                func=ast.Name(id="include"), args=[ast.Tuple(elts=[ast.Attribute(attr="urls", value=owner), *_]), *_]
            )
        ):
            return _entry(node, path, regex, router=dotted(owner))
        case ast.Call(func=ast.Name(id="include"), args=[ast.Name() | ast.Attribute() as module, *_]):
            return _entry(node, path, regex, include=dotted(module), inner=dotted(module))
        case ast.Attribute(attr="urls"):  # the site of the admin
            return _entry(node, path, regex, include=dotted(view), foreign=True)
        case ast.Call(func=ast.Attribute(attr="as_view") as function):
            given = view.args[0] if view.args else None
            actions = (
                [str(k) for key in given.keys if key for k in literals(key)] if isinstance(given, ast.Dict) else []
            )
            return _entry(node, path, regex, view=dotted(function), actions=actions)
        case ast.Name() | ast.Attribute():
            return _entry(node, path, regex, view=dotted(view))
        case _:
            return _entry(node, path, regex, view="?")


def _entry(
    node: ast.expr, path: str | None, regex: bool = False, *, include: str = "", router: str = "", view: str = "",
    actions: list[str] | None = None, foreign: bool = False, inner: str | list[Json] = "",
) -> Json:  # fmt: skip
    return {
        "path": path, "regex": regex, "include": include, "router": router, "view": view, "actions": actions or [],
        "foreign": foreign, "line": node.lineno, "inner": inner,
    }  # fmt: skip


def _registered(node: ast.Call, before: str = "") -> list[Json]:
    """What a router is given: of `register(…).register(…)` and of `[Nested(…)]` the ones inside another, too."""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    path, view = _text(node.args[0]), dotted(node.args[1])
    if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute) and len(owner.args) > 1:
        outer = _registered(owner)[0]
        inside = None if path is None or outer[1] is None else f"{outer[1]}/{{id}}/{path}"
        return [[outer[0], inside, view, node.lineno]]
    path = None if path is None else before + path
    found: list[Json] = [[dotted(owner), path, view, node.lineno]]
    for more in node.args[2:]:
        for one in more.elts if isinstance(more, ast.List) else ():
            if isinstance(one, ast.Call) and len(one.args) > 1 and path is not None:
                found += [[found[0][0], *said[1:]] for said in _registered(one, f"{path}/{{id}}/")]
    return found


def _text(node: ast.expr) -> str | None:
    found = written(node)
    return found if isinstance(found, str) else None


def _class(node: ast.ClassDef) -> Json:
    methods: list[str] = []
    actions: list[Json] = []
    allowed: list[str] | None = None
    for part in node.body:
        match part:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                methods.append(name)
                actions += [a for d in part.decorator_list if (a := _action(d, name)) is not None]
                for decorator in part.decorator_list:
                    first, _, verb = dotted(decorator).partition(".mapping.")
                    mapped = [[one, [verb.upper()], path, first] for one, _, path, named in actions if named == first]
                    actions += mapped[:1] if verb else []
            case ast.Assign(targets=[ast.Name(id="http_method_names")], value=ast.List() | ast.Tuple() as value):
                allowed = [str(m).lower() for m in literals(value)]
            case _:
                pass
    bases = [dotted(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases]
    return {"bases": bases, "methods": methods, "actions": actions, "allowed": allowed}


def _action(decorator: ast.expr, name: str) -> Json | None:
    """`@action(detail=True, methods=[…], url_path=…)`: whether of one thing, the methods, the path."""
    if not isinstance(decorator, ast.Call) or dotted(decorator.func).rpartition(".")[2] != "action":
        return None
    path = keyword(decorator, "url_path")
    given = keyword(decorator, "methods")
    methods = [str(m).upper() for m in literals(given)] if given is not None else ["GET"]
    shown = _text(path) if path is not None else name
    return [literals(keyword(decorator, "detail")) == [True], methods, shown or name, name]


def _allowed(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str] | None:
    """The methods that a view function takes, where its decorators say so."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = dotted(call.func if call else decorator).rpartition(".")[2]
        if name in _LIMITS:
            return _LIMITS[name]
        if name in ("api_view", "require_http_methods"):
            return [str(m).upper() for m in literals(call.args[0])] if call and call.args else ["GET"]
    return None
