"""A specification that is the same in both states is told from its texts; where they cannot tell, both are compared."""

from datetime import date
from pathlib import Path

import pytest

from mcp_backend.contracts import revisions, sources, specs
from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.unchanged import unchanged
from mcp_backend.settings import Workspace
from tests.service import write

TODAY = date(2026, 11, 25)
HEAD = "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths: {}\ncomponents:\n  schemas:\n    A:\n"
TEXT = "{type: string}"
REFERENCES = {
    "in double quotes": '      $ref: "./part.yaml#/a"\n',
    "in single quotes": "      $ref: './part.yaml'\n",
    "plain": "      $ref: part.yaml#/a\n",
    "plain, with a comment": "      $ref: part.yaml # that one\n",
    "in braces": "      {allOf: [{$ref: part.yaml}, {type: object}]}\n",
    "after one of the same document": "      allOf:\n      - $ref: '#/x'\n      - $ref: part.yaml\n",
    "percent-encoded": "      $ref: p%61rt.yaml\n",
    "with dots": "      $ref: ../specs/part.yaml\n",
    "as a block": "      $ref: >-\n        part.yaml\n",
    "on the next line": "      $ref:\n        part.yaml\n",
    "by an anchor": "      x-file: &file part.yaml\n      $ref: *file\n",
    "with a tag": "      $ref: !!str part.yaml\n",
    "with an escape in the key": '      "\\x24ref": part.yaml\n',
    "with an escape in the name": '      $ref: "\\x70art.yaml"\n',
    "with the key apart": "      ? $ref\n      : part.yaml\n",
}


def _source(root: Path, files: dict[str, str]) -> sources.Source:
    write(root, files)
    return sources.work_tree(Workspace(root, root, False))


def _compared(tmp_path: Path, before: dict[str, str], after: dict[str, str]) -> list[revisions.Compared]:
    return revisions.compared(_source(tmp_path / "old", before), _source(tmp_path / "new", after), "", TODAY)


def _same(tmp_path: Path, before: dict[str, str], after: dict[str, str]) -> list[bool]:
    old, new = _source(tmp_path / "old", before), _source(tmp_path / "new", after)
    theirs = {(spec.path, spec.kind): spec for spec in specs.find(new)}
    return [unchanged(old, spec, new, theirs[spec.path, spec.kind]) for spec in specs.find(old)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("openapi.yaml", f"{HEAD}      $ref: '#/components/schemas/B'\n    B: {{\n"),
        ("openapi.json", '{"openapi": "3.0.3", "paths": {}, '),
        ("schema.graphql", "type Query { a: Int\n"),
        ("a.proto", 'syntax = "proto3";\nmessage A {\n'),
    ],
)
def test_a_specification_that_stayed_the_same_is_not_even_parsed(name: str, text: str, tmp_path: Path) -> None:
    [found] = _compared(tmp_path, {f"specs/{name}": text}, {f"specs/{name}": text})
    assert (found.changes, found.problem) == ((), "")
    [found] = _compared(tmp_path, {f"specs/{name}": text}, {f"specs/{name}": f"{text}\n"})
    assert found.problem, "a changed one is parsed, and this one cannot be"


@pytest.mark.parametrize("how", REFERENCES)
def test_a_file_that_a_specification_refers_to_belongs_to_it(how: str, tmp_path: Path) -> None:
    root = HEAD + REFERENCES[how]
    before = {"specs/openapi.yaml": root, "specs/part.yaml": f"a: {TEXT}\n"}
    assert _same(tmp_path, before, {**before, "specs/part.yaml": "a: {type: integer}\n"}) == [False]


def test_references_in_json_without_line_breaks_are_all_followed(tmp_path: Path) -> None:
    schemas = '{"A":{"$ref":"#/b"},"B":{"$ref":{"$ref":"one.json#/x"}}}'
    root = f'{{"openapi":"3.0.3","paths":{{}},"components":{{"schemas":{schemas}}}}}'
    before = {"openapi.json": root, "one.json": '{"x":{"$ref":"deep/two.json"}}', "deep/two.json": TEXT}
    assert _same(tmp_path / "a", before, before) == [True]
    assert _same(tmp_path / "b", before, {**before, "deep/two.json": "{}"}) == [False]


def test_a_specification_in_several_files_that_all_stayed_is_the_same(tmp_path: Path) -> None:
    told = ("in double quotes", "in single quotes", "plain", "plain, with a comment", "in braces", "with dots")
    for index, how in enumerate(told):
        files = {"specs/openapi.yaml": HEAD + REFERENCES[how], "specs/part.yaml": "a: {$ref: part.yaml}\n"}
        assert _same(tmp_path / str(index), files, files) == [True], how


def test_a_proto_file_changes_with_what_it_imports_and_with_nothing_else(tmp_path: Path) -> None:
    one = 'syntax = "proto3";\npackage a;\nimport "b/b.proto";\nmessage A { b.B b = 1; }\n'
    two, three = (f'syntax = "proto3";\npackage {name};\nmessage B {{ int32 n = 1; }}\n' for name in "bc")
    before = {"p/a/a.proto": one, "p/b/b.proto": two, "q/c/c.proto": three}
    other = before | {"q/c/c.proto": three.replace("int32", "int64")}
    assert sorted(_same(tmp_path / "c", before, other)) == [False, True]
    imported = before | {"p/b/b.proto": two.replace("int32", "int64")}
    assert sorted(_same(tmp_path / "b", before, imported)) == [False, True]


def test_bytes_that_are_no_text_and_files_that_are_missing_are_left_to_the_comparison(tmp_path: Path) -> None:
    lacking = {"openapi.yaml": f"{HEAD}      $ref: nowhere.yaml\n"}
    assert _same(tmp_path / "a", lacking, lacking) == [False]
    for side, byte in (("old", b"\xfe"), ("new", b"\xff")):
        path = tmp_path / "b" / side / "openapi.yaml"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"{HEAD}      title: ".encode() + byte)
    assert _same(tmp_path / "b", {}, {}) == [False]


def test_the_document_a_reference_names_is_told_without_a_look_at_it(tmp_path: Path) -> None:
    assert Documents(tmp_path).file_of("a/b.yaml", "../c%20d.yaml#/x") == "c d.yaml"


def test_a_reference_that_is_written_many_times_is_followed_once(tmp_path: Path) -> None:
    used = ", ".join(f'"p{n}": {{"$ref": "part.json#/a"}}' for n in range(50))
    write(tmp_path, {"api.json": f'{{"openapi": "3.0.3", "x": {{{used}}}}}', "part.json": '{"a": {"type": "string"}}'})
    followed: list[str] = []

    class Counting(Documents):
        def follow(self, path: str, pointer: str) -> tuple[str, str, object]:
            followed.append(pointer)
            return super().follow(path, pointer)

    api = Api(Counting(tmp_path), "api.json")
    places = {api.child(api.root, "x", f"p{n}").key for n in range(50)}
    assert (places, len(followed)) == ({("part.json", "/a")}, 1)
