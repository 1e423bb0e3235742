# ruff: noqa: BLE001, B004 - whatever an application raises is its answer; flat, so that it is read at a glance

# pyright: basic, reportOptionalMemberAccess=false, reportCallIssue=false, reportMissingImports=false
"""Loads an application of the repository in a process of its own, tells its routes, and answers requests without a
network. Run as a program, by the interpreter of the repository: the standard library and the application alone.

    python child.py MODULE:OBJECT ASKED

Each line that it prints after `MARK` is a JSON object; each line of the named pipe ASKED is a request.
"""

import base64
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from urllib.parse import urlencode

MARK = "\x1emb:"


def tell(**message):
    sys.__stdout__.write(MARK + json.dumps(message, default=str) + "\n")
    sys.__stdout__.flush()


def package_root(folder):
    """The folder that the packages around a file are imported from, as pytest finds it."""
    while os.path.exists(os.path.join(folder, "__init__.py")) and folder != os.getcwd():
        folder = os.path.dirname(folder)
    return folder


def imported(path, root):
    """The module of a file by its name from `root`, or from the working directory where that one fails."""
    names = [os.path.relpath(path, place)[:-3].replace(os.sep, ".") for place in (root, os.getcwd())]
    sys.path.insert(0, root)
    try:
        return importlib.import_module(names[0])
    except ImportError:
        if names[0] == names[1]:
            raise
        try:
            return importlib.import_module(names[1])
        except ImportError:
            pass
        raise


def load(target):
    name, _, attribute = target.partition(":")
    if name.endswith(".py") or "/" in name:
        path = os.path.abspath(name if name.endswith(".py") else name + ".py")
        folder = os.path.dirname(path)
        sys.path[:0] = [os.getcwd(), folder]
        if os.path.exists(os.path.join(folder, "__init__.py")):
            module = imported(path, package_root(folder))
        else:
            module = importlib.import_module(os.path.basename(path)[:-3])
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(name)
    call = attribute.endswith("()")
    found = module
    for part in attribute.removesuffix("()").split("."):
        found = getattr(found, part)
    if call or (
        inspect.isfunction(found)
        and not [p for p in inspect.signature(found).parameters.values() if p.default is p.empty]
    ):
        found = found()
    return found


def kind_of(app):
    names = {c.__module__.partition(".")[0] + "." + c.__name__ for c in type(app).__mro__}
    if "fastapi.FastAPI" in names:
        return "fastapi"
    if "starlette.Starlette" in names or "starlette.Router" in names:
        return "starlette"
    if "flask.Flask" in names:
        return "flask"
    if names & {"django.WSGIHandler", "django.ASGIHandler"}:
        return "django"
    if names & {"graphql.GraphQLSchema", "strawberry.Schema", "graphene.Schema"}:
        return "graphql"
    if any(n.startswith("ariadne.") for n in names):
        return "graphql"
    return "asgi" if inspect.iscoroutinefunction(getattr(app, "__call__", app)) else "wsgi" if callable(app) else ""


def included(routes):
    """Pairs of a route and what tells its path and methods: newer FastAPI keeps included routers whole, and says
    itself what they come to."""
    try:
        from fastapi.routing import iter_route_contexts
    except ImportError:
        return [(route, route) for route in routes]
    return [(told.original_route, told) for told in iter_route_contexts(routes)]


def starlette_routes(routes, prefix=""):
    for original, route in included(routes):
        path = prefix + (getattr(route, "path", None) or "")
        inner = getattr(original, "routes", None)
        if getattr(route, "methods", None):
            endpoint = getattr(route, "endpoint", None)
            code = getattr(inspect.unwrap(endpoint), "__code__", None) if endpoint else None
            place = f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""
            raw = any(getattr(p.annotation, "__name__", "") == "Request" for p in _parameters(endpoint))
            for method in route.methods or ():
                yield {
                    "method": method,
                    "path": path,
                    "place": place,
                    "hidden": not getattr(route, "include_in_schema", True),
                    "raw": raw,
                }
        elif type(original).__name__ in ("WebSocketRoute", "APIWebSocketRoute"):
            code = getattr(inspect.unwrap(original.endpoint), "__code__", None)  # type: ignore
            place = f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""
            yield {"method": "WEBSOCKET", "path": path, "place": place}
        elif inner:
            yield from starlette_routes(inner, path)
        elif hasattr(original, "endpoint"):
            # A class has its methods by name: https://www.starlette.dev/endpoints/
            shown = original.endpoint  # type: ignore
            place = f"{shown.__module__}.{shown.__qualname__}" if inspect.isclass(shown) else ""
            verbs = ("get", "post", "put", "patch", "delete", "options", "head") if place else ()
            # What has none of them is an ASGI application, which is handed every method.
            for method in [m.upper() for m in verbs if hasattr(shown, m)] or ["*"]:
                yield {"method": method, "path": path, "place": place}
        else:
            yield {"method": "*", "path": path + "/{rest}", "place": "", "hidden": True, "mounted": True}


def _parameters(endpoint):
    try:
        return inspect.signature(endpoint).parameters.values()
    except (TypeError, ValueError):
        return ()


def flask_routes(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        code = getattr(inspect.unwrap(view), "__code__", None) if view else None
        place = f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in rule.methods - {"OPTIONS"}:
            yield {"method": method, "path": path, "place": place, "hidden": rule.endpoint == "static"}


def django_routes(patterns, prefix="/"):
    for pattern in patterns:
        text = str(pattern.pattern)
        simple = (
            re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", text))
            .replace("^", "")
            .replace("$", "")
            .replace("\\Z", "")
        )
        if hasattr(pattern, "url_patterns"):
            yield from django_routes(pattern.url_patterns, prefix + simple)
            continue
        view = pattern.callback
        shown = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if getattr(view, "actions", None):
            methods = [m.upper() for m in view.actions]
        elif shown is not None:
            methods = [m.upper() for m in shown.http_method_names if hasattr(shown, m) and m != "options"]
        else:
            methods = ["*"]
        for method in methods:
            yield {
                "method": method,
                "path": prefix + simple,
                "place": getattr(view, "__module__", ""),
                "hidden": text.startswith(("admin", "^admin")),
                "unclear": bool(re.search(r"[()\[\]*+?|]", simple)),
            }


def sdl_of(app):
    from graphql import print_schema

    for name in ("_schema", "graphql_schema"):
        if hasattr(app, name):
            return print_schema(getattr(app, name))
    return print_schema(app)


def main():
    target, asked = sys.argv[1], sys.argv[2]
    try:
        app = load(target)
    except BaseException as error:
        tell(failed=f"{type(error).__name__}: {str(error)[:400]}")
        return
    kind = kind_of(app)
    found = {"kind": kind, "routes": [], "openapi": None, "sdl": ""}
    try:
        if kind == "graphql":
            found["sdl"] = sdl_of(app)
        elif kind in ("fastapi", "starlette"):
            found["routes"] = list(starlette_routes(app.routes))
            if kind == "fastapi":
                found["openapi"] = app.openapi()
        elif kind == "flask":
            found["routes"] = list(flask_routes(app))
        elif kind == "django":
            from django.urls import get_resolver

            found["routes"] = list(django_routes(get_resolver().url_patterns))
    except Exception as error:
        found["problem"] = f"{type(error).__name__}: {str(error)[:300]}"
    tell(**found)
    if not kind or kind == "graphql":
        return
    from mcp_backend_calls import BODY, Asgi, wsgi

    call = Asgi(app) if kind in ("fastapi", "starlette", "asgi") else wsgi(app)
    with open(asked, encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            if request.get("end"):
                break
            body = base64.b64decode(request.get("body") or "")
            try:
                status, headers, data = call(
                    request["method"],
                    request["path"],
                    urlencode([tuple(p) for p in request["query"]]),
                    request["headers"],
                    body,
                )
            except BaseException as error:
                tell(number=request["number"], failed=type(error).__name__)
                continue
            tell(
                number=request["number"],
                status=status,
                headers=[[k, v] for k, v in headers],
                body=base64.b64encode(data[:BODY]).decode(),
            )
    os._exit(0)


if __name__ == "__main__":
    main()
