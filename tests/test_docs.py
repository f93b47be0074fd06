"""The tables of docs/API.md against the code that they speak of."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]

# How the sources write a status and its code.
CODES = [
    r'\{(?P<status>\d{3}), "(?P<code>\w+)"',  # a refusal of the coordinator
    r'Rule::\w+, "(?P<code>\w+)", (?P<status>\d{3})',  # a rule of HTTP
    r'\.status = (?P<status>\d{3}),(?:(?!\};).)*?\.code = "(?P<code>\w+)"',
    r'error\.status = (?P<status>\d{3});\s*error\.code = "(?P<code>\w+)"',
]


def sources():
    for folder in ("base/http", "gateway"):
        for path in sorted((ROOT / folder).rglob("*.cc")):
            if not path.name.endswith("_test.cc") and "testing" not in path.parts:
                yield path, path.read_text()


def test_every_error_code_stands_in_the_table_and_nothing_else():
    in_code = set()
    for path, text in sources():
        found = [match for pattern in CODES for match in re.finditer(pattern, text, re.DOTALL)]
        in_code |= {(match["status"], match["code"]) for match in found}
        known = {match["code"] for match in found}
        strangers = set(re.findall(r'\bcode = "(\w+)"', text)) - known
        assert not strangers, f"{path}: this test does not understand where {strangers} come from"
    errors = (ROOT / "docs/API.md").read_text().split("\n## Errors\n")[1].split("\n## ")[0]
    in_table = set()
    for status, codes in re.findall(r"^\| (\d{3}) \| (.*?) \|", errors, re.MULTILINE):
        in_table |= {(status, code) for code in re.findall(r"`(\w+)`", codes)}
    assert in_table == in_code
