"""Whether a Go program may have routes that were not found: then none is missing, and what was not read is said."""

import re

from mcp_backend.contracts.service.go_routes import Routes
from mcp_backend.contracts.sources import Source

READ = "net/http, chi, gin, echo, fiber, gorilla/mux, httprouter"
_OTHER_ROUTERS = re.compile(
    r"(?m)(?<=[/\t ])(kataras/iris|beego/beego|fasthttp/router|danielgtaylor/huma|emicklei/go-restful|revel/revel|"
    r"cloudwego/hertz|go-kratos/kratos|zeromicro/go-zero|goa\.design/goa|gobuffalo/buffalo|go-macaron/macaron|"
    r"grpc-ecosystem/grpc-gateway)(?=[/ ](?!.*// indirect))"
)
"""Modules whose routers are others, as `go.mod` requires them."""


def unread(source: Source, found: Routes) -> str:
    """Why there may be more routes than were found; empty where there are none."""
    if found.unresolved:
        return "no route was found, but some could not be read"
    required = "\n".join(source.texts(f for f in source.files if f.endswith("go.mod")).values())
    if other := _OTHER_ROUTERS.search(required):
        return f"no route was found, but those of {other.group()} are not read: give url"
    return "" if found.routes else f"no route of a router that is read ({READ}) was found: give url"
