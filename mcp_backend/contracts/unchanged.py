"""Whether a specification is the same in two states of the files, told from its texts: nothing is parsed.

What it refers to belongs to it. A text whose references cannot be told for sure without a parser is taken to differ:
the two are then compared in full.
"""

import re
from collections.abc import Iterator

from mcp_backend.contracts.documents import Broken, Documents
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec

_REFERENCE = re.compile(r"\$ref[\"']?\s*:[ \t]*")
_VALUE = re.compile(
    r"\"([^\"\\]+)\"|'([^']+)'(?!')|([^\s\"'|>&*!{}\[\],#\\][^\s\"'{}\[\],\\]*)(?=[ \t\r]*(?:[\n,}\]]|\Z)|[ \t]+#)"
)
"""A text in quotes, or a YAML one without them and without spaces."""
_ESCAPED = re.compile(r"\\(?:u00|x|U000000)(?:24|72|65|66)")
"""A letter of `$ref` that is written as an escape."""
_ASKED = re.compile(r"\?\s*[\"']?\$ref")
"""A key of YAML whose colon may be anywhere: https://yaml.org/spec/1.2.2/#822-block-mappings"""


def unchanged(old: Source, one: Spec, new: Source, two: Spec) -> bool:
    """Whether both are the same files with the same texts, down to the last file that they refer to."""
    if one != two:
        return False
    if one.kind == "protobuf":
        from mcp_backend.contracts.protobuf.compiling import staged

        before, after = staged(old, one), staged(new, two)
        return before == after and not any("\ufffd" in text for text in after.texts.values())
    documents = new.documents()
    known, todo = set[str](), set(one.files)
    while todo:
        texts, after = old.texts(sorted(todo)), new.texts(sorted(todo))
        if texts != after or texts.keys() != todo:
            return False
        known |= todo
        todo = set[str]()
        for path, text in texts.items():
            if "\ufffd" in text:  # Bytes that are no UTF-8 look alike.
                return False
            if one.kind != "graphql":
                try:
                    todo |= set(_referred(documents, path, text)) - known
                except ValueError:
                    return False
    return True


def _referred(documents: Documents, path: str, text: str) -> Iterator[str]:
    """The other files that a document refers to. Raises `ValueError` where that cannot be told."""
    if _ESCAPED.search(text) or _ASKED.search(text):
        raise ValueError(path)
    for found in _REFERENCE.finditer(text):
        if text.startswith(("{", "["), found.end()):
            continue  # A property of that name.
        value = _VALUE.match(text, found.end())
        reference = value and value[value.lastindex or 0]
        if not reference:
            raise ValueError(path)
        if reference.startswith("#"):
            continue
        try:
            name = documents.file_of(path, reference)
        except Broken:
            continue  # Out of the workspace, where it leads nowhere in both states.
        if name.startswith(("/", "../")):
            raise ValueError(path)
        yield name
