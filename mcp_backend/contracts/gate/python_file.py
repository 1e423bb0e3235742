# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What one Python file says about routes, handlers and models, read from its source and never run.

The answer is plain JSON, so that it can be kept by the file's git object id.
"""

import ast

from mcp_backend.contracts.gate.python_handler import depends, signature
from mcp_backend.contracts.gate.python_words import Json, annotation, code, dotted, keyword, literals, marker, written

FORM = "4"
"""Changes whenever the answer does: what was kept by another form is read again."""
MAKERS = {
    "FastAPI": "fastapi", "APIRouter": "fastapi", "Flask": "flask", "Blueprint": "flask", "APIBlueprint": "flask",
    "APIFlask": "flask", "OpenAPI": "flask",
}  # fmt: skip
APPLICATIONS = ("FastAPI", "Flask", "APIFlask", "OpenAPI")
VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
INCLUDES = ("include_router", "register_blueprint", "mount", "register_api")
_VALIDATES = (
    "validator",
    "field_validator",
    "root_validator",
    "model_validator",
    "model_serializer",
    "field_serializer",
)


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
            "aliases": {}, "lost": [],
        }  # fmt: skip
        self._body(tree.body, {})

    def _body(self, body: list[ast.stmt], loops: dict[str, list[str]]) -> None:
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
                case ast.For(target=ast.Name(id=name), iter=ast.List(elts=items) | ast.Tuple(elts=items)):
                    self._body(node.body, {**loops, name: [dotted(item) for item in items]})
                case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try() | ast.AsyncWith():
                    for name in ("body", "orelse", "finalbody"):
                        self._body(getattr(node, name, []), loops)
                    for handler in getattr(node, "handlers", []):
                        self._body(handler.body, loops)
                case _:
                    pass

    def _assigned(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Call):
            kind = MAKERS.get(dotted(value.func).rpartition(".")[2])
            if kind:
                prefix = keyword(value, "prefix", "url_prefix")
                self.said["routers"][name] = {
                    "kind": kind, "prefix": written(prefix) if prefix is not None else "", "line": value.lineno,
                    "app": dotted(value.func).rpartition(".")[2] in APPLICATIONS,
                }  # fmt: skip
                return
            self._called(value, {})
        text = written(value)
        if isinstance(text, str):
            self.said["texts"][name] = text
        elif isinstance(value, (ast.Subscript, ast.BinOp)) or (isinstance(value, ast.Name) and value.id[:1].isupper()):
            self.said["aliases"][name] = annotation(value)

    def _called(self, call: ast.Call, loops: dict[str, list[str]]) -> None:
        if not isinstance(call.func, ast.Attribute):
            return
        name, owner = call.func.attr, dotted(call.func.value)
        if name in INCLUDES and call.args:
            given = call.args[1] if name == "mount" and len(call.args) > 1 else call.args[0]
            prefix = call.args[0] if name == "mount" else keyword(call, "prefix", "url_prefix")
            target = dotted(given)
            for one in loops.get(target, [target]):
                self.said["includes"].append(
                    {"owner": owner, "target": one, "line": call.lineno, "kind": name,
                     "prefix": None if prefix is None else {"is": written(prefix)}}
                )  # fmt: skip
        elif name in ("add_api_route", "add_url_rule", "add_resource", "add_route", "add_view", "add_namespace"):
            self.said["lost"].append([call.lineno, owner])

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        said = self.said["functions"].setdefault(node.name, signature(node))
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
                continue
            verb, owner = decorator.func.attr, dotted(decorator.func.value)
            if verb not in (*VERBS, "route", "api_route"):
                continue
            path = decorator.args[0] if decorator.args else keyword(decorator, "path", "rule")
            methods: Json = [verb.upper()]
            if verb in ("route", "api_route"):
                given = keyword(decorator, "methods")
                methods = [str(m).upper() for m in literals(given)] if given is not None else ["GET"]
            model, status = keyword(decorator, "response_model"), keyword(decorator, "status_code")
            self.said["routes"].append({
                "owner": owner, "path": written(path) if path is not None else None, "methods": methods,
                "line": decorator.lineno, "handler": said if said["line"] == node.lineno else signature(node),
                "name": node.name, "status": 0 if status is None else code(status) or -1,
                "model": None if model is None else annotation(model),
                "loose": any(k.arg and k.arg.startswith("response_model_") for k in decorator.keywords),
                "class": keyword(decorator, "response_class") is not None,
                "hidden": literals(keyword(decorator, "include_in_schema")) == [False],
                "depends": list(depends(keyword(decorator, "dependencies"))),
                "others": [dotted(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list
                           if d is not decorator],
            })  # fmt: skip

    def _class(self, node: ast.ClassDef) -> None:
        fields: dict[str, Json] = {}
        values: list[Json] = []
        unsure = False
        for part in node.body:
            match part:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
                    fields[name] = _field(kind, value, part.lineno)
                    text = written(value) if value is not None else None
                    if isinstance(text, str):
                        self.said["texts"].setdefault(f".{name}", text)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                    values.append(value)
                    if isinstance(value, str):
                        self.said["texts"].setdefault(f".{name}", value)
                case (
                    ast.Assign(targets=[ast.Name(id="model_config")], value=value)
                    | ast.Assign(targets=[ast.Name(id="Config")], value=value)
                ):
                    unsure = unsure or "alias" in ast.dump(value)
                case ast.ClassDef(name="Config"):
                    unsure = unsure or "alias" in ast.dump(part)
                case ast.FunctionDef(name=name, decorator_list=decorators):
                    used = {dotted(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] for d in decorators}
                    if "computed_field" in used:
                        fields[name] = {
                            "type": ["any"],
                            "required": True,
                            "line": part.lineno,
                            "name": name,
                            "limits": {},
                        }
                    unsure = (
                        unsure
                        or bool(used & {*_VALIDATES})
                        or name.startswith(("model_", "__get_pydantic", "__init__"))
                    )
                case _:
                    pass
        self.said["classes"][node.name] = {
            "bases": [dotted(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases], "fields": fields,
            "values": values, "line": node.lineno, "unsure": unsure,
        }  # fmt: skip


def _field(kind: ast.expr, value: ast.expr | None, line: int) -> dict[str, Json]:
    typed = annotation(kind)
    found: dict[str, Json] = {"type": typed, "required": value is None, "line": line, "limits": {}}
    for one in [
        *(typed[2] if typed[0] == "annotated" else []),
        *([marker(value)] if isinstance(value, ast.Call) else []),
    ]:
        found["limits"] |= one.get("limits", {})
        if "alias" in one:
            found["name"] = one["alias"]
    if isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in ("Field", "field", "Body", "Query"):
        found["required"] = not marker(value).get("given")
    elif isinstance(value, ast.Constant) and value.value is ...:
        found["required"] = True
    return found
