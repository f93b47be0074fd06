"""Schemas' grammars, as the gateway makes them and the workers' engine walks them, against the jsonschema package: whatever
comes to an end is valid, what must be reachable is, and what is refused is named by its keyword and place."""

import json
import os
import pathlib
import subprocess

import jsonschema
import pytest
import schemas

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / os.environ.get("QUIRE_BIN", "build/release/bin")
CASES = list(schemas.cases())
SAMPLES = 25


def text(value):
    return json.dumps(value, ensure_ascii=False)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answers(questions):
    program = subprocess.run([BIN / "quire-schema-samples"], input="".join(json.dumps(q) + "\n" for q in questions), text=True,
                             capture_output=True, timeout=300)
    assert program.returncode == 0, program.stderr
    lines = [json.loads(line) for line in program.stdout.split("\n") if line]
    assert len(lines) == len(questions), program.stderr
    return lines


@pytest.fixture(scope="module")
def walked():
    """What came of each case: the program is started once."""
    questions = []
    for seed, (_, schema, good, bad) in enumerate(CASES):
        takes_compact = not isinstance(schema, bool) and ("const" in schema or "enum" in schema)
        questions.append({"schema": schema, "count": SAMPLES, "seed": seed, "texts": [(compact if takes_compact else text)(v) for v in good + bad]})
    return dict(zip([case[0] for case in CASES], answers(questions)))


def test_there_are_enough_and_each_is_a_schema():
    assert len(CASES) >= 300 and len({case[0] for case in CASES}) == len(CASES)
    for name, schema, _, _ in CASES:
        if name != "tuple of an old draft":
            jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_answers_are_valid_and_reachable(case, walked):
    name, schema, good, bad = case
    answer = walked[name]
    assert "problem" not in answer, answer
    validator = jsonschema.Draft202012Validator(schema)
    assert answer["samples"], "no walk came to an end"
    for sample in answer["samples"]:
        value = json.loads(sample)
        if name != "tuple of an old draft":
            assert validator.is_valid(value), sample
    is_good = [True] * len(good) + [False] * len(bad)
    for value, expected, taken in zip(good + bad, is_good, answer["takes"]):
        if name != "tuple of an old draft" and not name.startswith("format"):
            assert validator.is_valid(value) == expected, f"the case itself is wrong: {value}"
        assert taken == expected, value


def test_strings_have_one_spelling():
    texts = ['"a"', '"\\u0061"', '"\\/"', '"\\u000a"', '"\\n"', '"\\u001f"', '"\\ud83d\\ude00"', '"\\ud83d"']
    [answer] = answers([{"schema": {"type": "string"}, "count": 0, "texts": texts}])
    assert answer["takes"] == [True, False, False, False, True, True, False, False]


def test_whitespace_is_bounded():
    schema = schemas.obj({"a": schemas.INTEGER}, ["a"])
    texts = ['{"a":1}', '{"a": 1}', '{ "a": 1 }', '{\n  "a": 1\n}', '{\n\t"a": 1\n}', '{"a":  1}', '{\n\n"a": 1}', "{\n" + " " * 50 + '"a": 1}']
    [answer] = answers([{"schema": schema, "count": 0, "texts": texts}])
    assert answer["takes"] == [True] * 5 + [False] * 3


@pytest.mark.parametrize("case", schemas.REFUSED + schemas.WRONG, ids=lambda case: text(case[0])[:60])
def test_what_cannot_be_held_to_is_named(case):
    schema, path = case
    [strict] = answers([{"schema": schema, "count": 0}])
    assert strict.get("problem", [None])[0] == path, strict
    assert strict["problem"][1]


@pytest.mark.parametrize("case", schemas.REFUSED, ids=lambda case: text(case[0])[:60])
def test_what_cannot_be_held_to_is_let_be_where_it_may(case):
    [loose] = answers([{"schema": case[0], "loose": True, "count": 5, "texts": []}])
    assert "problem" not in loose and loose["samples"], loose


@pytest.mark.parametrize("case", schemas.WRONG, ids=lambda case: text(case[0])[:60])
def test_what_is_wrong_is_refused_anyway(case):
    [loose] = answers([{"schema": case[0], "loose": True, "count": 0}])
    assert "problem" in loose


def hostile():
    chain = {f"d{i}": {"properties": {"x": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(5000)}
    wide = {"anyOf": [{"anyOf": [{"const": i * 100 + k} for k in range(100)]} for i in range(100)]}
    return {
        "a long chain": {"$ref": "#/$defs/d0", "$defs": {**chain, "d5000": {}}},
        "a product": {"allOf": [wide, wide, wide]},
        "many cases of many": {"allOf": [{"anyOf": [schemas.obj({f"p{i}-{k}": {}}) for k in range(20)]} for i in range(8)]},
        "a circle of references": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        "doubling references": {"$ref": "#/$defs/d0", "$defs": {**{f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}, "d40": {}}},
        "many properties": schemas.obj({f"p{i}": {} for i in range(5000)}),
        "nested choices": {"type": "string", "pattern": "^" + "(" * 45 + "a" + "|b)" * 45 + "$"},
        "a long name": {"type": "object", "properties": {"a" * 40000: {}}, "additionalProperties": True},
        "long paths": {"properties": {"n" * 128000: {"anyOf": [{}] * 40000}}},
        "many keys, many times": {"anyOf": [{"$ref": "#/$defs/x"}] * 900, "$defs": {"x": {f"junk{i}": 1 for i in range(3000)}}},
        "a pattern, many names, many times": {"anyOf": [{"$ref": "#/$defs/x"}] * 200, "$defs": {"x": {"type": "object", "patternProperties": {"^(a?){200}$": {}},
                                                                                                  "required": [f"{'a' * 60}{i}" for i in range(900)]}}},
        "a large const, many times": {"type": "array", "prefixItems": [{"$ref": "#/$defs/x", "title": str(i)} for i in range(900)], "$defs": {"x": {"const": "c" * 150000}}},
        "a long tuple": {"type": "array", "prefixItems": [{}] * 80000},
        "a pattern of many states": {"type": "string", "pattern": "(a|b)*a(a|b){200}"},
        "a pattern that takes long to tell": {"enum": ["a" * 3000 + "b"], "pattern": "^((a*)*)*$"},
        "a large pattern": {"type": "string", "pattern": "^" + "[^a]" * 1300 + "$"},
        "counts of counts": {"type": "string", "pattern": "^(((a{256}){256}){256}){256}$", "minLength": 3},
    }


@pytest.mark.parametrize("name", hostile())
def test_no_schema_takes_the_gateway_down(name):
    """Each is refused, or made in bounds; the limit of time is that of `answers`."""
    for loose in (False, True):
        [answer] = answers([{"schema": hostile()[name], "loose": loose, "count": 0}])
        assert "problem" in answer or "samples" in answer
