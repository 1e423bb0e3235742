# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What one Python file says about routes, handlers and models, read from its source and never run.

The answer is plain JSON, so that it can be kept by the file's git object id.
"""

import ast
from collections.abc import Iterator, Mapping

from mcp_backend.contracts.gate import python_class
from mcp_backend.contracts.gate.python_handler import decorated, depends, signature
from mcp_backend.contracts.gate.python_words import Json, annotation, code, dotted, keyword, literals, written

FORM = "5"
"""Changes whenever the answer does: what was kept by another form is read again."""
MAKERS = {
    "FastAPI": "fastapi", "APIRouter": "fastapi", "Flask": "flask", "Blueprint": "flask", "APIBlueprint": "flask",
    "APIFlask": "flask", "OpenAPI": "flask",
}  # fmt: skip
APPLICATIONS = ("FastAPI", "Flask", "APIFlask", "OpenAPI", "NinjaAPI")
_RESTFUL = ("flask_restful", "flask_restx", "flask_restplus")
EXTENSIONS = {
    "Api": ((*_RESTFUL, "flask_smorest"), "flask"), "Namespace": (_RESTFUL, "flask"), "NinjaAPI": (("ninja",), "ninja"),
    "Router": (("ninja",), "ninja"),
}  # fmt: skip
"""Names that other packages use, too: the packages they are meant of, and what those build on."""
_SETS = ("flask_smorest", "apiflask")
"""Packages whose decorators set the status of an answer; those of others describe it."""
VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
INCLUDES = {
    "include_router": "prefix", "register_blueprint": "url_prefix", "mount": "", "register_api": "url_prefix",
    "add_namespace": "path", "add_router": "prefix", "init_app": "",
}  # fmt: skip
"""What takes another router in, and what it calls the path before that one's."""
_ROWS = 300


def read(source: bytes) -> Json | None:
    """The facts of a file, or `None` when it is not Python that can be read."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _File(tree).said


class _File:
    def __init__(self, tree: ast.Module) -> None:
        self.said: dict[str, Json] = {
            "imports": {}, "routers": {}, "includes": [], "routes": [], "functions": {}, "classes": {}, "texts": {},
            "aliases": {}, "lost": [], "made": {}, "targets": [],
        }  # fmt: skip
        self._lists: dict[str, list[ast.expr]] = {}
        self._body(tree.body, {})

    def _body(self, body: list[ast.stmt], loops: Mapping[str, ast.expr]) -> None:
        for node in body:
            match node:
                case ast.Import(names=names):
                    for name in names:
                        self.said["imports"][name.asname or name.name.partition(".")[0]] = (
                            name.name if name.asname else name.name.partition(".")[0]
                        )
                case ast.ImportFrom(module=module, names=names, level=level):
                    for name in names:
                        self.said["imports"][name.asname or name.name] = f"{'.' * level}{module or ''}:{name.name}"
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._function(node)
                    self._body(node.body, loops)
                case ast.ClassDef():
                    self._class(node)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._assigned(name, value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._assigned(name, value)
                case ast.Expr(value=ast.Call() as call):
                    self._called(call, loops)
                case ast.For(target=target, iter=given):
                    for row in list(self._rows(target, given))[:_ROWS] or [{}]:
                        self._body(node.body, {**loops, **row})
                    self._body(node.orelse, loops)
                case ast.If() | ast.While() | ast.With() | ast.Try() | ast.AsyncWith():
                    for name in ("body", "orelse", "finalbody"):
                        self._body(getattr(node, name, []), loops)
                    for handler in getattr(node, "handlers", []):
                        self._body(handler.body, loops)
                case _:
                    pass

    def _rows(self, target: ast.expr, given: ast.expr) -> Iterator[dict[str, ast.expr]]:
        """What the names of a loop stand for, where it goes over a list that is written down."""
        items = given.elts if isinstance(given, (ast.List, ast.Tuple)) else self._lists.get(dotted(given), [])
        for item in items:
            match target, item:
                case ast.Name(id=name), _:
                    yield {name: item}
                case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
                    yield {dotted(n): value for n, value in zip(names, values, strict=True)}
                case _:
                    pass

    def _assigned(self, name: str, value: ast.expr) -> None:
        if isinstance(value, (ast.List, ast.Tuple)):
            self._lists[name] = value.elts
        if isinstance(value, ast.Call):
            called = dotted(value.func)
            kind = self._kind(called)
            prefix = keyword(value, "prefix", "url_prefix", "path")
            router: Json = {
                "kind": kind, "prefix": written(prefix) if prefix is not None else "", "line": value.lineno,
                "app": called.rpartition(".")[2] in APPLICATIONS, "sets": self._package(called) in _SETS,
            }  # fmt: skip
            if kind:
                self._router(name, value, called.rpartition(".")[2], router)
                return
            if called.rpartition(".")[2][:1].isupper():
                self.said["made"][name] = {**router, "class": called}
            self._called(value, {})
        text = written(value)
        if isinstance(text, str):
            self.said["texts"][name] = text
        elif isinstance(value, (ast.Subscript, ast.BinOp)) or (isinstance(value, ast.Name) and value.id[:1].isupper()):
            self.said["aliases"][name] = annotation(value)

    def _package(self, name: str) -> str:
        """The package that a name is imported from."""
        return str(self.said["imports"].get(name.partition(".")[0], "")).partition(":")[0].partition(".")[0]

    def _kind(self, called: str) -> str:
        last = called.rpartition(".")[2]
        packages, kind = EXTENSIONS.get(last, ((), ""))
        return MAKERS.get(last) or (kind if self._package(called) in packages else "")

    def _router(self, name: str, call: ast.Call, last: str, router: Json) -> None:
        """A router of its own. An `Api` lies in the application or blueprint it is made for."""
        if last == "Api":
            if call.args:
                self._include("init_app", dotted(call.args[0]), name, None, call.lineno)
            router["app"] = not call.args
        elif last == "Namespace" and keyword(call, "path") is None:
            first = written(call.args[0]) if call.args else None
            router["prefix"] = f"/{first}" if isinstance(first, str) else None
        self.said["routers"][name] = router

    def _include(self, kind: str, owner: str, target: str, prefix: Json, line: int) -> None:
        said = {"owner": owner, "target": target, "line": line, "kind": kind, "prefix": prefix}
        self.said["includes"].append(said)

    def _called(self, call: ast.Call, loops: Mapping[str, ast.expr]) -> None:
        if not isinstance(call.func, ast.Attribute):
            return
        name, owner, args = call.func.attr, _meant(call.func.value, loops), call.args
        if name == "init_app" and args and owner in self.said["routers"]:
            self._include(name, dotted(args[0]), owner, None, call.lineno)
        elif name in INCLUDES and name != "init_app" and args:
            second = name in ("mount", "add_router") and len(args) > 1
            prefix = args[0] if second or name == "mount" else keyword(call, INCLUDES[name], "prefix", "url_prefix")
            given = args[1] if second else args[0]
            target = _meant(given, loops)
            if isinstance(given, ast.Constant) and isinstance(given.value, str):  # ninja takes "books.api.router"
                module, _, attribute = given.value.rpartition(".")
                target = f"?{given.value.replace('.', '/')}"
                self.said["imports"][target] = f"{module}:{attribute}"
            if isinstance(prefix, ast.Name):
                prefix = loops.get(prefix.id, prefix)
            self._include(name, owner, target, None if prefix is None else {"is": written(prefix)}, call.lineno)
        elif name in ("add_api_route", "add_url_rule") and args:
            view = keyword(call, "endpoint" if name == "add_api_route" else "view_func")
            position = 1 if name == "add_api_route" else 2
            view = args[position] if view is None and len(args) > position else view
            if isinstance(view, ast.Call) and isinstance(view.func, ast.Attribute) and view.func.attr == "as_view":
                view = view.func.value
            self._target(call, owner, args[0], view)
        elif name == "add_resource" and len(args) > 1:
            for path in args[1:]:
                self._target(call, owner, path, args[0])
        elif name in ("add_route", "add_view", "add_api_route", "add_url_rule", "add_resource"):
            self.said["lost"].append([call.lineno, owner])

    def _target(self, call: ast.Call, owner: str, path: ast.expr, view: ast.expr | None) -> None:
        """A route whose handler, a function or a class of views, is named and not decorated."""
        name = dotted(view) if view is not None else ""
        if not name:
            self.said["lost"].append([call.lineno, owner])
            return
        given = keyword(call, "methods")
        methods = [str(m).upper() for m in literals(given)] if given is not None else None
        self.said["targets"].append({**_route(call, owner, path, methods or []), "any": given is None, "target": name})

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, own: ast.ClassDef | None = None) -> None:
        """The routes of a function, or of a method of the class `own`."""
        said = signature(node)
        if own is None:
            said = self.said["functions"].setdefault(node.name, said)
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
                continue
            verb, owner = decorator.func.attr, dotted(decorator.func.value)
            if verb not in (*VERBS, "route", "api_route"):
                continue
            path = decorator.args[0] if decorator.args else keyword(decorator, "path", "rule")
            methods: list[str] = [verb.upper()]
            if verb in ("route", "api_route"):
                given = keyword(decorator, "methods")
                methods = [str(m).upper() for m in literals(given)] if given is not None else ["GET"]
            handler = said if said["line"] == node.lineno else signature(node)
            if own is not None:  # the instance is no parameter of the request, but what the class declares may be one
                opened = handler["open"] or any(isinstance(part, ast.AnnAssign) for part in own.body)
                handler = {**handler, "parameters": handler["parameters"][1:], "open": opened}
            self.said["routes"].append({
                **_route(decorator, owner, path, methods), "handler": handler, "name": node.name,
                **decorated(node.decorator_list, decorator),
            })  # fmt: skip

    def _class(self, node: ast.ClassDef) -> None:
        verbs: dict[str, Json] = {}
        opened = False
        for part in node.body:
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if part.name in VERBS:
                    verbs[part.name] = {"handler": signature(part), **decorated(part.decorator_list, None)}
                self._function(part, node)
            elif isinstance(part, ast.Assign):
                opened = opened or any(dotted(t) in ("decorators", "method_decorators") for t in part.targets)
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(attr="route", value=owner), args=paths):
                    for path in paths:
                        self._target(decorator, dotted(owner), path, ast.Name(id=node.name))
                case _:
                    pass
        said, texts = python_class.said(node)
        for name, text in texts.items():
            self.said["texts"].setdefault(f".{name}", text)
        self.said["classes"][node.name] = {**said, "verbs": verbs, "open": opened}


def _meant(node: ast.expr, loops: Mapping[str, ast.expr]) -> str:
    """A name as `dotted` has it, with what a loop has put for its beginning."""
    text = dotted(node)
    head, dot, rest = text.partition(".")
    return f"{dotted(loops[head])}{dot}{rest}" if head in loops else text


def _route(call: ast.Call, owner: str, path: ast.expr | None, methods: list[str]) -> dict[str, Json]:
    """What the call that makes a route says of it."""
    model, status = keyword(call, "response_model"), keyword(call, "status_code")
    return {
        "owner": owner, "path": written(path) if path is not None else None, "methods": methods, "line": call.lineno,
        "status": 0 if status is None else code(status) or -1,
        "model": None if model is None else annotation(model),
        "loose": any(k.arg and k.arg.startswith("response_model_") for k in call.keywords),
        "class": keyword(call, "response_class") is not None,
        "hidden": literals(keyword(call, "include_in_schema")) == [False],
        "depends": list(depends(keyword(call, "dependencies"))), "others": [], "answers": [],
    }  # fmt: skip
