"""JSON schemas by keyword (draft 2020-12) with values that an answer by each must be able to have, and that it must not.

Each case: (name, schema, values that must be reachable, values that must not be). Values are said as JSON with ", " and ": ".
"""

import functools
import itertools

STRING, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}


def obj(properties, required=(), **more):
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {}), **more}


def types():
    values = {"null": [None], "boolean": [True, False], "integer": [0, -7, 123456789012], "number": [0, 1.5, -2, 1e10],
              "string": ["", "a", "é😀\n\"\\\t"], "array": [[], [1, "a", None, [{}]]], "object": [{}, {"a": {"b": [1]}}]}
    for name, good in values.items():
        bad = [v[0] for other, v in values.items() if other != name and {other, name} != {"integer", "number"}]
        yield f"type {name}", {"type": name}, good, bad
    for a, b in itertools.combinations(values, 2):
        bad = [v[0] for other, v in values.items() if other not in (a, b) and not ({a, b} & {"integer", "number"} and
                                                                                  other in ("integer", "number"))]
        yield f"type {a} or {b}", {"type": [a, b]}, [values[a][0], values[b][0]], bad
    yield "any value", {}, [None, 1, "a", [], {"a": [1, {"b": None}]}], []
    yield "true", True, [None, {"a": 1}], []


def numbers():
    for low, high in [(0, 9), (1, 10), (-5, 5), (7, 7), (10, 99), (3, 1234), (-1000, -990), (0, 255), (1900, 2100), (-120, 1999),
                      (999, 1001), (1, 1000000)]:
        yield (f"integer from {low} to {high}", {"type": "integer", "minimum": low, "maximum": high}, [low, high, (low + high) // 2],
               [bad for bad in (low - 1, high + 1, low * 10 - 1, abs(high) * 10 + 1) if not low <= bad <= high])
        yield (f"integer between {low - 1} and {high + 1}", {"type": "integer", "exclusiveMinimum": low - 1, "exclusiveMaximum": high + 1},
               [low, high], [low - 1, high + 1])
    for bound in (0, 1, -1, 17, -250, 1000):
        yield f"integer from {bound}", {"type": "integer", "minimum": bound}, [bound, bound + 1, bound + 5000], [bound - 1]
        yield f"integer to {bound}", {"type": "integer", "maximum": bound}, [bound, bound - 1, bound - 5000], [bound + 1]
        yield f"number from {bound}", {"type": "number", "minimum": bound}, [bound, bound + 0.5], [bound - 0.5, bound - 1]
        yield f"number below {bound}", {"type": "number", "exclusiveMaximum": bound}, [bound - 0.25, bound - 3], [bound, bound + 1]
    for low, high in [(0, 1), (-1.5, 2.25), (0.1, 0.2), (99.5, 100.5), (-273.15, 1e6), (1e-7, 1e-6), (2.5, 2.5)]:
        yield (f"number from {low} to {high}", {"type": "number", "minimum": low, "maximum": high}, [low, high] if low > 1e-3 or low <= 0 else [],
               [low - 1, high + 1, high + 0.0625])
        if low < high:
            yield (f"number between {low} and {high}", {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high},
                   [], [low, high])
    for multiple in (1, 2, 3, 5, 7, 10, 25, 99, 100):
        yield (f"multiple of {multiple}", {"type": "integer", "multipleOf": multiple}, [0, multiple, -multiple, 12 * multiple],
               [multiple * 3 + 1] if multiple > 1 else [0.5])
        yield (f"multiple of {multiple} in bounds", {"type": "integer", "multipleOf": multiple, "minimum": -multiple, "maximum": 5 * multiple},
               [0, -multiple, 5 * multiple], [6 * multiple])
    yield "half bounds", {"type": "integer", "minimum": 1.5, "maximum": 3.5}, [2, 3], [1, 4]


def strings():
    for low, high in [(0, 0), (0, 1), (1, 1), (2, 4), (3, None), (0, 5), (100, 100)]:
        schema = {"type": "string", "minLength": low, **({} if high is None else {"maxLength": high})}
        good = ["é" * low, "\"" * low, "😀" * (low if high is None else high)]
        bad = (["a" * (low - 1)] if low else []) + (["a" * (high + 1)] if high is not None else [])
        yield f"string of {low} to {high}", schema, good, bad
    for pattern, good, bad in [
            ("^a+$", ["a", "aaa"], ["", "b", "ab"]), ("a", ["a", "xay", "aa"], ["", "b"]), ("^a", ["a", "ab\n"], ["ba", ""]),
            ("a$", ["a", "ba"], ["ab"]), ("^a|b$", ["axx", "xxb"], ["xax"]), ("^(?:ab|cd){2,3}$", ["abcd", "cdcdab"], ["ab", "abcdabcd"]),
            ("^[a-z]{3}-[0-9]{2}$", ["abc-12"], ["abc12", "Abc-12"]), (r"^\d{4}$", ["2024"], ["202", "20245", "a024"]),
            (r"^\w+@\w+\.com$", ["a_b@c.com"], ["a@b.org"]), (r"^\s*$", ["", " \n\t"], ["a"]), (r"^\S+$", ["aé"], ["a b", ""]),
            (r"^[^,]*$", ["", "a\"b\\"], ["a,b"]), (r"^\\\\$", ["\\\\"], ["\\"]), ('^"[^"]*"$', ['"a"'], ["a"]), (r"^\n$", ["\n"], ["n"]),
            (r"^[\x00-\x1f]{2}$", ["\u0001\t"], ["ab"]), (r"^[А-я]+$", ["Привет"], ["a"]), (r"^[\u4e00-\u9fff]{1,3}$", ["漢字"], ["a", "漢漢漢漢"]),
            (r"^(\+\d{1,3})?\d{6,10}$", ["123456", "+4912345678"], ["12345"]), ("^$", [""], ["a"]), ("", ["", "a"], []),
            (r"^x?y*z+$", ["z", "xyyz"], ["x"]), (r"^(?P<year>\d\d)$", ["24"], ["4"]), (r"^[-+]?[0-9]+\.?[0-9]*$", ["-1.5", "7"], ["."]),
            (r"^a.c$", ["abc", "a\"c"], ["a\nc", "ac"]), (r"^[\]\-\\]+$", ["]-\\"], ["a"]), (r"^\/api\/v[12]$", ["/api/v1"], ["/api/v3"]),
            (r"^(a|)b$", ["b", "ab"], ["a"]), (r"^[^\d\s]+$", ["abc"], ["a1", "a b"]), (r"^\D$", ["x"], ["1"]), (r"^\W$", ["-"], ["a"])]:
        yield f"pattern {pattern}", {"type": "string", "pattern": pattern}, good, bad
    yield "pattern and lengths", {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4}, ["ab", "abcd"], ["a", "abcde"]
    yield "pattern of a fixed length", {"type": "string", "pattern": "^[a-z]{3}$", "maxLength": 10}, ["abc"], ["ab"]
    yield "pattern that searches, and length", {"type": "string", "pattern": "ab", "minLength": 3, "maxLength": 4}, ["xab", "abxx"], ["ab", "xabxx", "abc" * 2]
    yield "format and less length than it may have", {"type": "string", "format": "email", "maxLength": 12}, ["a@b.com"], ["aaaaaaaa@b.com"]
    yield "prefix and length", {"type": "string", "pattern": "^id-", "maxLength": 6}, ["id-", "id-abc"], ["id-abcd", "di-"]
    for name, good, bad in [("date", ["2024-02-29", "1999-12-31"], ["2023-02-29", "2024-13-01", "2024-04-31"]),
                            ("time", ["23:59:59Z", "00:00:00+01:00"], ["24:00:00Z", "12:60:00Z"]),
                            ("date-time", ["2024-02-29T12:00:00Z"], ["2024-02-29", "2024-02-30T12:00:00Z"]),
                            ("email", ["a.b@example.com"], ["a", "a@b@c.com"]), ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
                            ("ipv4", ["0.0.0.0", "255.255.255.255"], ["256.1.1.1", "01.1.1.1"]), ("ipv6", ["::1", "1:2:3:4:5:6:7:8"], ["1:2", "g::1"]),
                            ("hostname", ["a-b.example.com"], ["-a.com"]), ("duration", ["P1DT2H", "PT5M"], ["P", "1D"]),
                            ("uri", ["https://example.com/a?b=c#d"], ["example.com"]), ("something-else", ["any text"], [])]:
        yield f"format {name}", {"type": "string", "format": name}, good, bad
    yield "format and length", {"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083}, ["https://example.com/"], ["x"]


def values():
    for value in [None, True, False, 0, 1, -5, 1.5, 1e300, "", "a", "é\"\\\n\u2028/", [], [1, "a", None], {}, {"z": 1, "a": [True]}]:
        yield f"const {value!r}", {"const": value}, [value], [["other"], "other", 77]
    yield "enum of strings", {"type": "string", "enum": ["red", "gr\"een", "bläu", "絵"]}, ["red", "gr\"een", "bläu", "絵"], ["re", "blue", ""]
    yield "enum of all kinds", {"enum": [1, "1", None, True, 2.5, ["a"], {"a": 1}]}, [1, "1", None, True, 2.5], [2, "2", False]
    yield "enum that its type narrows", {"type": ["integer", "null"], "enum": [1, "a", None, 2.5]}, [1, None], ["a", 2.5]
    yield "enum that a bound narrows", {"enum": [1, 5, 9, "x"], "type": "integer", "minimum": 4}, [5, 9], [1, "x"]
    yield "enum that a pattern narrows", {"enum": ["a1", "b2", "c"], "pattern": r"\d$"}, ["a1", "b2"], ["c"]
    yield "const and enum", {"const": 2, "enum": [1, 2, 3]}, [2], [1, 3]
    yield "enum of objects by a schema", {"enum": [{"a": 1}, {"a": "x"}], "properties": {"a": {"type": "integer"}}}, [], [{"a": "x"}]
    yield "many values", {"enum": [f"value {i}" for i in range(300)]}, ["value 0", "value 299"], ["value 300", "value"]


def arrays():
    for low, high in [(0, 0), (0, 1), (1, 1), (2, 2), (1, 3), (3, None), (0, 4)]:
        schema = {"type": "array", "items": INTEGER, "minItems": low, **({} if high is None else {"maxItems": high})}
        bad = ([[1] * (low - 1)] if low else []) + ([[1] * (high + 1)] if high is not None else []) + [["a"]]
        yield f"array of {low} to {high}", schema, [[5] * low, [7] * (low + 2 if high is None else high)], bad
    pair = {"type": "array", "prefixItems": [STRING, INTEGER]}
    yield "tuple", pair, [[], ["a"], ["a", 1]], [[1], ["a", "b"]]
    yield "whole tuple", {**pair, "minItems": 2, "items": False}, [["a", 1]], [["a"], ["a", 1, 2]]
    yield "tuple and more", {**pair, "items": {"type": "boolean"}}, [["a", 1], ["a", 1, True, False]], [["a", 1, 2]]
    yield "tuple, more and counts", {**pair, "items": {"type": "boolean"}, "minItems": 3, "maxItems": 4}, [["a", 1, True]], [["a", 1], ["a", 1] + [True] * 3]
    yield "short of a tuple", {**pair, "maxItems": 1}, [[], ["a"]], [["a", 1]]
    yield "tuple of an old draft", {"type": "array", "items": [STRING, INTEGER], "additionalItems": False, "minItems": 2}, [["a", 1]], []
    yield "tuple that needs more", {**pair, "minItems": 3}, [["a", 1, None]], [["a", 1]]
    yield "arrays of arrays", {"type": "array", "items": {"type": "array", "items": NULL}}, [[], [[]], [[None], [None, None]]], [[1]]
    yield "array of anything", {"type": "array"}, [[1, "a", {}], []], [{}]
    yield "array of objects", {"type": "array", "items": obj({"a": INTEGER}, ["a"]), "minItems": 1}, [[{"a": 1}]], [[], [{}]]
    yield "unique, of one", {"type": "array", "items": INTEGER, "uniqueItems": True, "maxItems": 1}, [[], [1]], [[1, 1]]
    yield "items that can't be", {"type": "array", "items": False}, [[]], [[1]]


def objects():
    names = ["a", "b", "c"]
    for count in range(4):
        for required in itertools.combinations(names, count):
            bad = [{n: 1 for n in names if n != missing} for missing in required] + [{n: 1 for n in names} | {"d": 1}]
            yield (f"required {required}", obj({n: INTEGER for n in names}, required, additionalProperties=False),
                   [{n: 1 for n in names}, {n: 1 for n in required}], bad)
    for low, high in [(1, None), (2, 2), (0, 1), (3, 3), (1, 2)]:
        schema = obj({n: NULL for n in names}, minProperties=low, **({} if high is None else {"maxProperties": high}))
        good = [{n: None for n in names[:low]}, {n: None for n in names[-low:]} if low else {}]
        yield f"of {low} to {high} properties", schema, good, [{n: None for n in names[:low - 1]}] if low else [{n: None for n in names}]
    yield "a required one and a count", obj({n: NULL for n in names}, ["c"], maxProperties=2), [{"c": None}, {"a": None, "c": None}], [{"a": None, "b": None}]
    yield "free names", {"type": "object", "additionalProperties": INTEGER}, [{}, {"x": 1, "y z": 2}], [{"x": "a"}]
    yield "free names beside declared", obj({"a": STRING, "ab": NULL}, ["a"], additionalProperties=INTEGER), [{"a": "x", "b": 1}, {"a": "x", "abc": 2, "": 3}], [
        {"a": 1}, {"a": "x", "ab": 1}, {"a": "x", "b": "y"}]
    yield "free names and a count", {"type": "object", "additionalProperties": NULL, "maxProperties": 2, "minProperties": 1}, [{"x": None}, {"x": None, "y": None}], [
        {}, {"x": None, "y": None, "z": None}]
    yield "names by a pattern", {"type": "object", "patternProperties": {"^x-": INTEGER}, "additionalProperties": False}, [{}, {"x-a": 1}], [{"y": 1}, {"x-a": "b"}]
    yield "names by a pattern beside declared", obj({"id": STRING}, ["id"], patternProperties={"^x-": INTEGER}, additionalProperties=False), [{"id": "a", "x-a": 1}], [{"id": "a", "z": 1}]
    yield "names of a form", {"type": "object", "propertyNames": {"pattern": "^[a-z]$"}, "additionalProperties": NULL}, [{"a": None}], [{"A": None}, {"ab": None}]
    yield "names of a list", {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": NULL}, [{"a": None, "b": None}], [{"c": None}]
    yield "nested", obj({"a": obj({"b": obj({"c": INTEGER}, ["c"])}, ["b"])}, ["a"]), [{"a": {"b": {"c": 1}}}], [{"a": {"b": {}}}, {"a": {}}, {}]
    yield "strange names", obj({'q"\\\n': INTEGER, "é😀": INTEGER, "": INTEGER, "$ref": INTEGER}, ['q"\\\n', "é😀", "", "$ref"]), [{'q"\\\n': 1, "é😀": 2, "": 3, "$ref": 4}], [{}]
    yield "required and undeclared", {"type": "object", "required": ["x"]}, [{"x": 1}, {"x": None}], [{}]
    yield "order of keys", obj({"z": NULL, "a": NULL, "m": NULL}, ["z", "a", "m"]), [{"z": None, "a": None, "m": None}], []
    yield "a property that can't be", obj({"a": False, "b": INTEGER}), [{"b": 1}, {}], [{"a": 1}]
    yield "an object by its properties alone", {"properties": {"a": INTEGER}, "required": ["a"]}, [{"a": 1}], [{}, {"a": "x"}]
    yield "dependentRequired", obj({"card": STRING, "address": STRING}, dependentRequired={"card": ["address"]}), [{}, {"card": "1", "address": "a"}, {"address": "a"}], [{"card": "1"}]
    yield "dependentSchemas", obj({"a": INTEGER, "b": INTEGER}, dependentSchemas={"a": {"required": ["b"]}}), [{"a": 1, "b": 2}, {"b": 2}], [{"a": 1}]
    yield "unevaluatedProperties", obj({"a": INTEGER}, unevaluatedProperties=False), [{}, {"a": 1}], [{"b": 1}]
    yield "many properties", obj({f"p{i}": INTEGER for i in range(120)}, [f"p{i}" for i in range(0, 120, 2)]), [{f"p{i}": i for i in range(120)}], [{"p0": 1}]


def combined():
    cat, dog = obj({"kind": {"const": "cat"}, "lives": INTEGER}, ["kind", "lives"]), obj({"kind": {"const": "dog"}, "name": STRING}, ["kind", "name"])
    for keyword in ("anyOf", "oneOf"):
        yield f"{keyword} of types", {keyword: [STRING, INTEGER, NULL]}, ["a", 1, None], [1.5, []]
        yield f"{keyword} by a kind", {keyword: [cat, dog]}, [{"kind": "cat", "lives": 9}, {"kind": "dog", "name": "a"}], [{"kind": "cat", "name": "a"}, {"kind": "dog"}]
        yield f"{keyword} by ranges", {keyword: [{"type": "integer", "maximum": 0}, {"type": "integer", "minimum": 10}]}, [0, 10, -5], [1, 9]
        yield f"{keyword} beside properties", obj({"a": INTEGER, "b": INTEGER}, additionalProperties=False, **{keyword: [{"required": ["a"]}, {"required": ["b"]}]}), [
            {"a": 1}, {"b": 1}], [{}]
        yield f"{keyword} of enums", {keyword: [{"enum": ["a", "b"]}, {"enum": ["c"]}]}, ["a", "c"], ["d"]
    yield "a kind that may be left out", {"oneOf": [obj({"k": {"const": 1}}), obj({"k": {"const": 2}})]}, [{"k": 1}, {"k": 2}], [{"k": 3}]
    yield "allOf of objects", {"allOf": [obj({"a": INTEGER}, ["a"]), obj({"b": STRING}, ["b"])]}, [{"a": 1, "b": "x"}], [{"a": 1}, {"b": "x"}]
    yield "allOf of bounds", {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, [3, 5], [2, 6]
    yield "allOf and siblings", {"type": "object", "properties": {"a": INTEGER}, "required": ["a"], "allOf": [{"properties": {"a": {"minimum": 5}}}]}, [{"a": 5}], [{"a": 4}, {}]
    yield "allOf of anyOf", {"allOf": [{"anyOf": [STRING, INTEGER]}, {"anyOf": [INTEGER, NULL]}]}, [1], ["a", None]
    yield "anyOf with a base", {"type": "string", "anyOf": [{"maxLength": 2}, {"minLength": 5}]}, ["ab", "abcde"], ["abc"]
    yield "nullable", obj({"a": {"anyOf": [STRING, NULL]}}, ["a"]), [{"a": None}, {"a": "x"}], [{"a": 1}, {}]
    yield "allOf with a false one in anyOf", {"anyOf": [False, INTEGER]}, [1], ["a"]
    yield "allOf of two patterns", {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, ["ab", "axb"], ["a", "b", "ba"]
    yield "a base's name by another's pattern", {"type": "object", "properties": {"x-a": STRING}, "required": ["x-a"], "patternProperties": {"^x-": {"maxLength": 1}},
                                                 "additionalProperties": False}, [{"x-a": "l"}], [{"x-a": "long"}]
    yield "a pattern that another closes", {"allOf": [{"type": "object", "patternProperties": {"^x": INTEGER}}, obj({"a": {}}, additionalProperties=False)]}, [{}, {"a": 1}], [{"x": 1}]
    yield "free names and more than are required", obj({"a": INTEGER}, ["a"], additionalProperties=True, minProperties=2), [{"a": 1, "x": 2}], [{"a": 1}]
    yield "multiples of two numbers", {"type": "integer", "allOf": [{"multipleOf": 4}, {"multipleOf": 6}]}, [0, 12, -24], [4, 6]
    yield "allOf of patterns that are one", {"allOf": [{"pattern": "^a"}, {"type": "string", "pattern": "^a"}]}, ["a", "ab"], ["b"]


def references():
    node = obj({"value": INTEGER, "next": {"anyOf": [{"$ref": "#/$defs/node"}, NULL]}}, ["value", "next"])
    yield "$defs", obj({"a": {"$ref": "#/$defs/x"}}, ["a"], **{"$defs": {"x": INTEGER}}), [{"a": 1}], [{"a": "x"}]
    yield "definitions", obj({"a": {"$ref": "#/definitions/x"}}, ["a"], definitions={"x": INTEGER}), [{"a": 1}], [{"a": "x"}]
    yield "a list", {"$ref": "#/$defs/node", "$defs": {"node": node}}, [{"value": 1, "next": None}, {"value": 1, "next": {"value": 2, "next": None}}], [{"value": 1}]
    yield "a tree", obj({"children": {"type": "array", "items": {"$ref": "#"}}}, ["children"]), [{"children": []}, {"children": [{"children": []}]}], [{}, {"children": [1]}]
    yield "a reference and words", obj({"a": {"$ref": "#/$defs/x", "description": "d", "title": "t"}}, ["a"], **{"$defs": {"x": INTEGER}}), [{"a": 1}], [{"a": "x"}]
    yield "a reference and a bound", {"$ref": "#/$defs/x", "minimum": 5, "$defs": {"x": INTEGER}}, [5, 6], [4]
    yield "a chain", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c"}, "c": NULL}}, [None], [1]
    yield "names to escape", {"$ref": "#/$defs/a~1b%25c~0d", "$defs": {"a/b%c~d": NULL}}, [None], [1]
    yield "into properties", obj({"a": INTEGER, "b": {"$ref": "#/properties/a"}}, ["b"]), [{"b": 1}], [{"b": "x"}]
    yield "into a list", {"anyOf": [INTEGER, {"type": "array", "items": {"$ref": "#/anyOf/0"}}]}, [1, [1, 2]], [["a"]]
    yield "two that hold one another", {"$ref": "#/$defs/a", "$defs": {"a": obj({"b": {"$ref": "#/$defs/b"}}), "b": obj({"a": {"$ref": "#/$defs/a"}})}}, [
        {}, {"b": {}}, {"b": {"a": {"b": {}}}}], [{"b": 1}]
    yield "annotations", {"type": "string", "title": "t", "description": "d", "default": 5, "examples": [1], "$comment": "c", "deprecated": True, "readOnly": True,
                          "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/s"}, ["a"], [1]


def mixed():
    """As people write them."""
    address = obj({"street": STRING, "zip": {"type": "string", "pattern": r"^\d{5}$"}}, ["street", "zip"], additionalProperties=False)
    person = obj({"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0, "maximum": 150}, "email": {"type": "string", "format": "email"},
                  "address": {"$ref": "#/$defs/Address"}, "tags": {"type": "array", "items": STRING, "maxItems": 5}}, ["name", "age"],
                 additionalProperties=False, **{"$defs": {"Address": address}})
    yield "a person", person, [{"name": "Ada", "age": 36}, {"name": "Ada", "age": 36, "address": {"street": "x", "zip": "12345"}, "tags": ["a"]}], [
        {"name": "", "age": 1}, {"name": "A", "age": 151}, {"name": "A", "age": 1, "address": {"street": "x", "zip": "1"}}]
    yield "a person or nobody", {"anyOf": [person, NULL], "$defs": person["$defs"]}, [None, {"name": "A", "age": 1}], [{}]
    step = obj({"explanation": STRING, "output": STRING}, ["explanation", "output"], additionalProperties=False)
    yield "steps of a proof", obj({"steps": {"type": "array", "items": step}, "final_answer": STRING}, ["steps", "final_answer"], additionalProperties=False), [
        {"steps": [], "final_answer": "x"}, {"steps": [{"explanation": "a", "output": "b"}], "final_answer": "x"}], [{"steps": [{}], "final_answer": ""}]
    yield "an event", obj({"title": STRING, "date": {"type": "string", "format": "date"}, "attendees": {"type": "array", "items": STRING, "minItems": 1}},
                          ["title", "date", "attendees"]), [{"title": "t", "date": "2026-11-28", "attendees": ["a"]}], [{"title": "t", "date": "2026-11-30", "attendees": []}]
    for unit in (["celsius", "fahrenheit"], ["C", "F", None]):
        yield (f"a tool's arguments with {unit}", obj({"city": {"type": "string", "description": "d"}, "unit": {"enum": unit}}, ["city"]),
               [{"city": "Paris"}, {"city": "Paris", "unit": unit[0]}], [{"unit": unit[0]}, {"city": "a", "unit": "kelvin"}])
    query = obj({"field": {"enum": ["id", "name"]}, "op": {"enum": ["<", "="]}, "value": {"anyOf": [INTEGER, STRING]}}, ["field", "op", "value"])
    yield "a query", obj({"where": {"type": "array", "items": {"anyOf": [query, {"$ref": "#"}]}}, "any": {"type": "boolean"}}, ["where"]), [
        {"where": [{"field": "id", "op": "<", "value": 5}]}, {"where": [{"where": [], "any": True}]}], [{"where": [{"field": "x", "op": "<", "value": 1}]}]
    shapes = [obj({"type": {"const": name}, **{k: {"type": "number", "exclusiveMinimum": 0} for k in keys}}, ["type", *keys], additionalProperties=False)
              for name, keys in (("circle", ["radius"]), ("box", ["width", "height"]), ("line", ["length"]))]
    yield "shapes", {"type": "array", "items": {"oneOf": shapes}, "minItems": 1, "maxItems": 3}, [[{"type": "circle", "radius": 1}], [{"type": "box", "width": 1, "height": 2.5}]], [
        [], [{"type": "circle", "radius": 0}], [{"type": "box", "width": 1}]]
    yield "a union of a table", {"oneOf": [{"$ref": f"#/$defs/{n}"} for n in "abc"], "$defs": {n: obj({"t": {"type": "string", "enum": [n]}, n: INTEGER}, ["t"]) for n in "abc"}}, [
        {"t": "a", "a": 1}, {"t": "c"}], [{"t": "d"}]
    yield "a scene", {"$ref": "#/$defs/group", "$defs": {"group": obj({"name": STRING, "children": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/group"}, {"$ref": "#/$defs/leaf"}]}}},
                                                                     ["name", "children"]), "leaf": obj({"x": {"type": "number"}, "y": {"type": "number"}}, ["x", "y"])}}, [
        {"name": "a", "children": [{"x": 1, "y": 2}, {"name": "b", "children": []}]}], [{"name": "a", "children": [{"x": 1}]}]
    yield "settings", obj({"level": {"type": ["string", "null"], "enum": ["low", "high", None]}, "limits": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
                           "window": {"type": "array", "prefixItems": [INTEGER, INTEGER], "items": False, "minItems": 2}}), [
        {}, {"level": None, "limits": {"a": 1}, "window": [1, 2]}], [{"limits": {"a": -1}}, {"window": [1]}, {"level": "mid"}]
    yield "deep", functools.reduce(lambda inner, i: obj({f"l{i}": inner}, [f"l{i}"]), range(25), INTEGER), [
        functools.reduce(lambda inner, i: {f"l{i}": inner}, range(25), 7)], [{}]
    for count in (1, 2, 5, 10):
        yield (f"a row of {count} columns", {"type": "array", "prefixItems": [{"type": "integer", "minimum": i} for i in range(count)], "items": False, "minItems": count},
               [list(range(count))], [list(range(count - 1)), list(range(count + 1))])
        yield (f"a matrix of {count}", {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}, "minItems": count, "maxItems": count},
               [[[0.5] * count] * count], [[[0.5] * count] * (count + 1), [[1] * (count + 1)] * count])
        yield (f"one of {count} words or none", {"anyOf": [{"const": f"w{i}"} for i in range(count)] + [NULL]}, ["w0", f"w{count - 1}", None], [f"w{count}", "w"])
        yield (f"{count} flags", obj({f"f{i}": {"type": "boolean"} for i in range(count)}, [f"f{i}" for i in range(count)], additionalProperties=False),
               [{f"f{i}": i % 2 == 0 for i in range(count)}], [{}, {f"f{i}": 1 for i in range(count)}])
        yield (f"a code of {count}", {"type": "string", "pattern": f"^[A-Z]{{{count}}}-\\d{{{count},{count + 2}}}$"}, ["A" * count + "-" + "1" * count], ["a" * count + "-1", "A-"])
        yield (f"percent of {count}", {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 100}, "maxItems": count}, [[100] * count, [0, 99.5][:count]], [[101], [-0.5], [1] * (count + 1)])


def cases():
    for family in (types, numbers, strings, values, arrays, objects, combined, references, mixed):
        yield from family()


# (schema, path of what is wrong): refused where the client wants to be sure.
REFUSED = [
    ({"not": STRING}, "not"), ({"if": STRING, "then": {"minLength": 2}}, "if"), ({"type": "array", "contains": INTEGER}, "contains"),
    ({"type": "array", "items": INTEGER, "uniqueItems": True}, "uniqueItems"), (obj({"a": {"type": "string", "pattern": "(?=a)"}}), "properties.a.pattern"),
    ({"type": "string", "pattern": r"\bword\b"}, "pattern"), ({"type": "string", "pattern": "(a)\\1"}, "pattern"),
    (obj({"a": {"type": "array", "items": {"not": {}}}}, ["a"]), "properties.a.items.not"), ({"oneOf": [STRING, {"maxLength": 5, "type": "string"}]}, "oneOf"),
    ({"oneOf": [{"minimum": 5}, {"minLength": 2}]}, "oneOf"), ({"$ref": "https://example.com/x.json"}, "$ref"), ({"$dynamicRef": "#a"}, "$dynamicRef"),
    ({"type": "number", "multipleOf": 0.01}, "multipleOf"), ({"anyOf": [STRING, {"type": "object", "unevaluatedProperties": False, "allOf": [{}]}]}, "anyOf.1.unevaluatedProperties"),
    ({"type": "object", "patternProperties": {"^a": STRING, "^b": INTEGER}}, "patternProperties"), ({"type": "string", "maxLength": 5000}, ""),
    (obj({"a": INTEGER}, additionalProperties=True, minProperties=2), ""), ({"type": "array", "items": INTEGER, "maxItems": 1000}, ""),
    ({"oneOf": [obj({"k": {"const": 1}}), obj({"k": {"const": 2}}), obj({"z": INTEGER}, ["z"])]}, "oneOf"),
    ({"type": "integer", "minimum": -9223372036854775808, "maximum": 0, "allOf": [{"multipleOf": 113907089}, {"multipleOf": 630138255}, {"multipleOf": 257}]}, ""),
]

# (schema, path): wrong, or without any value, however much is let be.
WRONG = [
    (7, ""), ("x", ""), ([], ""), (None, ""), ({"type": "banana"}, "type"), ({"type": []}, "type"), ({"enum": []}, "enum"), ({"enum": "a"}, "enum"),
    ({"type": "object", "properties": 7}, "properties"), (obj({"a": 7}), "properties.a"), ({"type": "object", "required": "a"}, "required"), ({"$ref": "#/$defs/Nowhere"}, "$ref"),
    ({"anyOf": []}, "anyOf"), ({"allOf": {}}, "allOf"), ({"type": "array", "minItems": -1}, "minItems"), ({"type": "string", "minLength": 1.5}, "minLength"),
    ({"type": "integer", "minimum": "3"}, "minimum"), ({"type": "integer", "multipleOf": 0}, "multipleOf"), ({"type": "string", "pattern": 5}, "pattern"),
    (False, ""), ({"type": "array", "minItems": 3, "maxItems": 2, "items": NULL}, ""), ({"type": "integer", "minimum": 3, "maximum": 2}, ""),
    ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, ""), ({"type": "string", "minLength": 3, "maxLength": 2}, ""),
    (obj({"a": False}, ["a"]), ""), ({"allOf": [STRING, INTEGER]}, ""), ({"const": 1, "type": "string"}, ""), ({"$ref": "#"}, ""),
    (obj({"a": {"$ref": "#"}}, ["a"]), ""), (obj({}, dependentRequired={"a": "b"}), "dependentRequired.a"), ({"type": "object", "required": ["a"], "maxProperties": 0}, ""),
]
