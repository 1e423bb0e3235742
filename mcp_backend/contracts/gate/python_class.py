"""What a class of Python says of the fields of a model and the values of an enumeration, from its source."""

import ast

from mcp_backend.contracts.gate.python_words import Json, annotation, dotted, marker, written

_VALIDATES = frozenset({
    "validator", "field_validator", "root_validator", "model_validator", "model_serializer", "field_serializer",
})  # fmt: skip


def said(node: ast.ClassDef) -> tuple[dict[str, Json], dict[str, Json]]:
    """The facts of a class, and the texts that its attributes hold."""
    fields: dict[str, Json] = {}
    values: list[Json] = []
    texts: dict[str, Json] = {}
    unsure = False
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
                fields[name] = _field(kind, value, part.lineno)
                text = written(value) if value is not None else None
                if isinstance(text, str):
                    texts.setdefault(name, text)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                values.append(value)
                if isinstance(value, str):
                    texts.setdefault(name, value)
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
                    computed: Json = {
                        "type": ["any"],
                        "required": True,
                        "line": part.lineno,
                        "name": name,
                        "limits": {},
                    }
                    fields[name] = computed
                own = name.startswith(("model_", "__get_pydantic", "__init__"))
                unsure = unsure or own or not used.isdisjoint(_VALIDATES)
            case _:
                pass
    bases = [dotted(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases]
    found = {"bases": bases, "fields": fields, "values": values, "line": node.lineno, "unsure": unsure}
    return found, texts


def _field(kind: ast.expr, value: ast.expr | None, line: int) -> dict[str, Json]:
    typed = annotation(kind)
    found: dict[str, Json] = {"type": typed, "required": value is None, "line": line, "limits": {}}
    markers: list[Json] = typed[2] if typed[0] == "annotated" else []
    markers = [*markers, *([marker(value)] if isinstance(value, ast.Call) else [])]
    for one in markers:
        found["limits"] |= one.get("limits", {})
        if "alias" in one:
            found["name"] = one["alias"]
    if isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in ("Field", "field", "Body", "Query"):
        found["required"] = not marker(value).get("given")
    elif isinstance(value, ast.Constant) and value.value is ...:
        found["required"] = True
    return found
