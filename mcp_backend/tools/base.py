"""What a tool is: a frozen request whose docstring is the description and whose fields are the schema."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict

from mcp_backend.actions import Action
from mcp_backend.errors import Json
from mcp_backend.facts import NOTHING, Facts

if TYPE_CHECKING:
    from mcp_backend.app import App

Result: TypeAlias = dict[str, Json]
Toolset: TypeAlias = Literal["database", "messaging", "git", "tests", "contracts", "workspace", "escalation"]
TOOLSETS: tuple[Toolset, ...] = (
    "database", "messaging", "git", "tests", "contracts", "workspace", "escalation",
)  # fmt: skip


LONGEST = 200_000
"""Characters of any text of a request that has no limit of its own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would do. `run` does exactly `actions`; `prepared` carries what planning read, so that nothing is
    read a second time between judging and doing. `preview` is for the person who approves, `evidence` what is drawn
    for them: `rehearsal` (a digest), `diff` (unified), `messages`, `contract` (changes of one). `recorded` is what the
    audit keeps besides the actions: ids and the reasons people gave, never payloads."""

    actions: tuple[Action, ...] = ()
    facts: Facts = NOTHING
    preview: str = ""
    at_version: str = ""
    prepared: Any = None
    recorded: Mapping[str, str] = field(default_factory=dict[str, str])
    evidence: Mapping[str, Json] = field(default_factory=dict[str, Json])

    def __post_init__(self) -> None:
        for action in self.actions:
            version = getattr(action, "at_version", self.at_version)
            if version != self.at_version:
                raise ValueError(f"an action at version {version!r} in a plan at {self.at_version!r}")


class Tool(BaseModel):
    """One request to a tool. Subclasses set the class variables; the first sentence of the docstring is enough to
    choose the tool by."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=LONGEST)

    name: ClassVar[str]
    title: ClassVar[str]
    toolset: ClassVar[Toolset]
    read_only: ClassVar[bool]
    destructive: ClassVar[bool] = False
    idempotent: ClassVar[bool] = False
    open_world: ClassVar[bool] = False
    deadline: ClassVar[float] = 90.0
    """Seconds after which planning is given up, and running where that only reads, whatever they wait for."""
    output: ClassVar[Mapping[str, Any]] = {}
    """Properties of the result that are always there, as JSON Schema; empty for no output schema."""

    @abstractmethod
    async def plan(self, app: "App") -> Plan:
        """Reads what is needed to say what the call would do. Changes nothing."""

    def seconds(self) -> float:
        """How long planning, and running where that only reads, may take: the limit and what this request may wait."""
        return self.deadline

    @abstractmethod
    async def run(self, app: "App", plan: Plan) -> Result:
        """Does exactly the plan."""

    @classmethod
    def input_schema(cls) -> dict[str, Any]:
        """The fields as JSON Schema 2020-12, without titles and lengths, which a reader does not need."""
        schema = cls.model_json_schema()
        schema.pop("title", None)
        schema.pop("description", None)
        return _without_titles(schema)

    @classmethod
    def output_schema(cls) -> dict[str, Any] | None:
        """A small open schema: the properties a caller can rely on. None is required, because hosts hold a refusal
        against the schema, too, and would show the model the mismatch in place of the reason."""
        return {"type": "object", "properties": dict(cls.output)} if cls.output else None

    @classmethod
    def description(cls) -> str:
        """The docstring as one paragraph per blank-line block."""
        blocks = (cls.__doc__ or "").strip().split("\n\n")
        return "\n".join(" ".join(block.split()) for block in blocks)


def _without_titles(node: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key in ("maxLength", "minLength") and value <= LONGEST:
            continue  # The answer says what was expected; a reader has no use for it before.
        if key == "propertyNames" and set(cast("dict[str, Any]", value)) <= {"maxLength", "minLength"}:
            continue
        if key in ("properties", "$defs"):
            kept[key] = {name: _without_titles(child) for name, child in cast("dict[str, Any]", value).items()}
        elif isinstance(value, dict):
            kept[key] = _without_titles(cast("dict[str, Any]", value))
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            kept[key] = [_without_titles(cast("dict[str, Any]", i)) if isinstance(i, dict) else i for i in items]
        else:
            kept[key] = value
    # An optional field is `anyOf [X, null]` with default null: say X, a caller leaves it out.
    options = kept.get("anyOf")
    if isinstance(options, list) and kept.get("default", ...) is None:
        real = [o for o in cast("list[dict[str, Any]]", options) if o != {"type": "null"}]
        if len(real) == 1:
            del kept["anyOf"], kept["default"]
            kept = {**real[0], **kept}
    return kept
