"""Records what Jinja's sandbox, set up as transformers does, makes of a table of expressions.

    python tests/golden/record_expressions.py     (needs transformers and jinja2)

Writes jinja_expressions.json into tests/golden/data/text: the variables, and for each expression the text or null.
"""

import copy
import json

from record_templates import DATA, render

VARIABLES = {
    "n": None, "i": 7, "f": 2.5, "neg": -3, "t": True, "s": "Hello, wörld", "e": "", "ss": "straße ﬁx ǅ İ ΑΣ", "u": "a\u00a0b\u200bc\u2028d\x1ce\r\nf\x85g",
    "l": [3, 1, 2], "x": [{"a": "B", "n": 1}, {"a": "a", "n": 2, "b": {"c": [5]}}, {"a": "b", "n": None}, {"n": 1}], "w": ["b", "A", "c", "a", "B"],
    "m": {"b": 1, "A": {"items": [1]}, "a": "x", "z": None}, "d": {"items": 5, "get": "g", "k": "v"}, "big": 10 ** 15, "h": "<a href=\"x\">'&'</a>",
}

FILTERED = ["n", "nothing", "e", "[]", "{}", "0", "false", "i", "f", "s", "l", "m", "w", "x", "(1, 2)", "l|map('string')"]
FILTERS = [
    "select|list", "reject|list", "selectattr('a')|list", "rejectattr('a')|list", "map('string')|list", "map(attribute='a')|list", "map('upper')|join", "join", "join(', ')",
    "length", "count", "list", "first", "last", "sort", "sort(reverse=true)", "unique|list", "groupby('a')", "groupby('n')|list", "sum", "min", "max", "tojson", "default('D')",
    "default('D', true)", "trim", "upper", "lower", "title", "capitalize", "string", "int", "float", "abs", "round", "reverse|list", "items|list", "dictsort", "batch(2)|list", "slice(2)|list",
    "replace('l', 'L')", "indent", "center(20)", "wordcount", "truncate(8)", "safe", "e", "first|default('none')", "map(attribute='a')|select('string')|join('-')", "select('string')|list", "urlencode",
    "filesizeformat", "attr('items')", "tojson(indent=1)", "map('tojson')|join"]
TESTS = ["defined", "none", "mapping", "iterable", "sequence", "callable", "string", "number", "integer", "float", "boolean", "true", "false", "odd", "even", "lower", "upper", "divisibleby(2)",
         "in([7, 'x', none])", "eq(7)", "ne(7)", "lt(8)", "ge(2)", "sameas(none)", "escaped"]
METHODS = [
    "capitalize()", "casefold()", "center(20)", "center(21, '*')", "center(5, 'ab')", "count('l')", "count('')", "count('l', 3)", "endswith('ld')", "endswith(('x', 'ld'))", "endswith('lo', 0, 5)", "expandtabs()", "find('l')",
    "find('l', 4)", "find('', 99)", "find('zz')", "format()", "index('o')", "index('zz')", "isalnum()", "isalpha()", "isascii()", "isdecimal()", "isdigit()", "isidentifier()", "islower()", "isnumeric()", "isprintable()",
    "isspace()", "istitle()", "isupper()", "join(['a', 'b'])", "join([1])", "ljust(15)", "ljust(15, '.')|length", "lower()", "lstrip('He')", "partition(', ')", "partition('#')", "partition('')", "removeprefix('He')", "removesuffix('ld')",
    "replace('l', 'L')", "replace('l', 'L', 1)", "replace('', '-')", "replace('', '-', 2)", "rfind('l')", "rindex('l')", "rjust(15, '_')", "rpartition('l')", "rpartition('#')", "rsplit()", "rsplit('l', 1)", "rsplit('l')",
    "rsplit(maxsplit=1)", "rstrip('dl')", "split()", "split(',')", "split(none, 1)", "split('l', 2)", "split(sep='l', maxsplit=1)", "split('')", "splitlines()", "splitlines(true)", "startswith('H')", "startswith(['H'])", "strip('Hd')", "swapcase()", "title()",
    "upper()", "zfill(15)", "zfill(3)", "nosuch()", "__class__", "encode", "format_map({})", "translate"]
FORMATS = [
    "'{}'.format(i)", "'{} {}'.format(1, 'a')", "'{1} {0}'.format(1, 'a')", "'{a} {b}'.format(a=1, b=[1, 'x'])", "'{{}} {}'.format(n)", "'{'.format(1)", "'}'.format(1)", "'{}'.format()", "'{0} {}'.format(1, 2)", "'{:>8}|{:<8}|{:^8}|'.format('a', 'b', 'cd')",
    "'{:*^9}'.format('mid')", "'{:é^9}'.format('mid')", "'{:08.3f}'.format(3.14159)", "'{:+d} {: d} {:-d}'.format(5, 5, 5)", "'{:,}'.format(1234567)", "'{:_}'.format(1234567)", "'{:,.2f}'.format(1234567.891)", "'{:x} {:X} {:o} {:b}'.format(255, 255, 8, 5)",
    "'{:#x} {:#o} {:#b}'.format(255, 8, 5)", "'{:05d} {:05d}'.format(42, -42)", "'{:.3}'.format('abcdef')", "'{:10.3}|'.format('abcdef')", "'{:e} {:E} {:g} {:G}'.format(12345.678, 12345.678, 12345.678, 1e20)", "'{:.0f} {:.1f} {:.2f}'.format(2.5, 0.25, 1.005)", "'{:%} {:.1%}'.format(0.5, 0.123)",
    "'{:.3}'.format(3.14159)", "'{:.3}'.format(1234.5)", "'{:.3}'.format(100.0)", "'{:}'.format(1.0)", "'{:5}|'.format(true)", "'{:d}'.format(true)", "'{}'.format(true)", "'{:5}'.format(n)", "'{}'.format(n)", "'{!r} {!s} {!a}'.format('é', 'é', 'é')", "'{!r:>10}'.format('x')", "'{0[k]} {0.k}'.format(d)",
    "'{0[0]}'.format(l)", "'{0.__class__}'.format(s)", "'{x[1][a]}'.format(x=x)", "'{:{w}}|'.format('a', w=5)", "'{:>{}}|'.format('a', 5)", "'{:z}'.format(1)", "'{:d}'.format(1.5)", "'{:d}'.format('a')", "'{:s}'.format(1)", "'{:05}'.format('ab')", "'{:=+8d}'.format(5)", "'{:x=8d}'.format(-5)",
    "'{:n}'.format(5)", "'{}'.format(nothing)", "'{:010,}'.format(1234)", "'{:f}'.format(1e300)|length", "'{:g}'.format(0.0001)", "'{:g}'.format(1e-5)", "'{:#g}'.format(1.0)", "'{a}'.format(**{'a': 1})", "'{} {}'.format(*[1, 2])", "('<{}>'|safe).format('<')", "('<%s>'|safe) % '<'", "('<b>'|safe) + '<'", "'<' + ('<b>'|safe)", "('<b>'|safe) ~ '<'",
    "'%s' % 'a'", "'%s %s' % ('a', 1)", "'%s' % ('a', 1)", "'%s %s' % 'a'", "'%d %i %u' % (5, 5.9, -5)", "'%d' % 'a'", "'%5d|%-5d|%05d|%+d|% d' % (42, 42, 42, 42, 42)", "'%x %X %o %#x %#o' % (255, 255, 8, 255, 8)", "'%f %.2f %e %g %G' % (1.5, 2.675, 1234.5, 0.0001, 1e20)", "'%r %a' % ('é', 'é')", "'%c%c' % ('a', 'é')", "'%%' % ()", "'%5.2s|' % 'abc'",
    "'%(k)s %(items)d' % d", "'%(zz)s' % d", "'%*d' % (5, 42)", "'%-*d|' % (5, 42)", "'%.*f' % (2, 3.14159)", "'%s' % n", "'%s' % nothing", "'%s' % l", "'%s' % (l,)", "'x' % l", "'x' % d", "'x' % 1", "'x' % ()", "'%q' % 1", "'%' % 1", "'%s'|format('a')", "'%(a)s'|format(a=1)", "'%.3d' % 5", "'%+.1e' % -12345.678", "'%5s|%-5s|' % ('é', 'é')", "'%d%%' % 50", "'%ld' % 3", "'%x' % 1.5", "'%05s' % 'a'"]
OTHERS = [
    "{1: 'a', none: 'b', (1, 2): 'c', true: 'd', 2.0: 'e'}", "{1: 'a'}[1.0]", "{1: 'a'}[true]", "{[1]: 2}", "{(1, [2]): 3}", "{none: 1}|tojson", "{1: 2, 1.5: 3, true: 4}|tojson", "{(1,): 2}|tojson", "1 in {1: 2}", "[1] in {1: 2}", "{'a': 1}.get(none, 'x')", "m.get([1])", "dict([('a', 1)], b=2)", "dict(m, b=2)['b']",
    "m.items", "m.items is callable", "d.items", "d['items']", "d.get", "d['get']", "d.k", "m.A.items", "m.A['items']", "m.keys()", "m.values()", "m.items()", "m.keys()|list", "m.items()|first", "m.items()[0]", "m.keys() is sequence", "m.pop is defined", "l.append is defined", "l.append(1)", "m.update({})", "m.setdefault('q', 1)", "l.count(1)", "l.index(2)",
    "l.index(9)", "l.copy()", "m.copy()", "(1, 2, 1).count(1)", "(1, 2) == [1, 2]", "(1, 2) == (1, 2)", "(1, 2) + (3,)", "[1] + (2,)", "[1] * 3", "2 * 'ab'", "'ab' * -1", "(1,)", "()", "(1, 'a')", "[(1, 2), [3]]", "(1, 2)[0]", "(1, 2, 3)[::-1]", "l[::2]", "l[5:1:-1]", "s[::-2]", "s[1:-1:3]", "s[:none:none]", "l['a':]", "n[1:]", "m[1:2]", "nothing[1:]", "l[::0]",
    "1 < 2 < 3", "1 < 3 < 2", "3 > 2 >= 2 != 1", "1 == 1.0 == true", "1 in l in [[3, 1, 2]]", "[1, 2] < [1, 3]", "(1, 2) < (1,)", "[1] < ['a']", "'a' < 'B'", "none < 1", "'a' in n", "'a' in nothing", "1 in 'a'", "n in l", "2 not in l", "not 1 in l", "not n is none", "-i ** 2", "2 ** 3 ** 2", "2 ** -1", "7 // -2", "7 % -2", "-7.5 // 2", "-7.5 % 2", "7.5 % -2",
    "1e100", "1e16", "1e15", "123456789.123456789", "0.1 + 0.2", "1 / 3", "3.0", "-0.0", "1e-5", "1.5e-7", "5 / 1", "big * 10", "0x1F + 0b11 + 0o17", "1_000", "1e3", "x.0.a", "x[0].a", "x.1.b.c.0", "f.is_integer()", "2.0.is_integer()", "s.0", "s[0]", "s[-1]", "s[99]", "l[-1]", "l[99]", "l['0']", "l[1.0]", "l[true]", "n.x", "n['x']", "i['x']", "nothing.x", "nothing['x']",
    "nothing()", "nothing is callable", "n()", "s()", "range(3)|list", "range(3)|length", "range(5, 0, -2)|list", "range()", "x|map(attribute='b.c.0')|list", "x|map(attribute='b.c', default=9)|list", "x|map(attribute='zz')|list", "x|map(attribute='zz', default='q')|join", "x|map('attr', 'a')|list", "x|selectattr('b.c')|list|length", "x|selectattr('n', 'none')|list", "x|selectattr('a', 'defined')|map(attribute='a')|list",
    "x|rejectattr('n', 'eq', 1)|map(attribute='n')|list", "x|rejectattr('a', 'undefined')|list|length", "x[:2]|groupby('a')", "x[:3]|groupby('a')|map(attribute='grouper')|list", "x[:3]|groupby('a')|map(attribute='list')|map('length')|list", "x[:3]|groupby('a', case_sensitive=true)|map('first')|list", "x|groupby('a', default='zz')|map('first')|list", "x[:2]|sum(attribute='n')", "l|sum(start=10)", "[[1], [2]]|sum(start=[])", "w|sort", "w|sort(case_sensitive=true)",
    "w|sort(true)", "x[:2]|sort(attribute='a')|map(attribute='a')|list", "x[:2]|sort(attribute='n,a', reverse=true)|map(attribute='n')|list", "w|unique|list", "w|unique(true)|list", "x|unique(attribute='n')|map(attribute='n')|list", "[[1]]|unique|list", "w|min", "w|max", "w|max(true)", "[]|max", "x[:2]|max(attribute='n')", "[1, 'a']|sort", "[1, none]|max", "m|dictsort(by='value')", "{'b': 1, 'A': 2}|dictsort", "{'b': 1, 'A': 2}|dictsort(true)",
    "{'b': 1, 'A': 2}|dictsort(false, 'value', true)", "l|batch(2, 'x')|list", "l|slice(2, 'x')|list", "l|join('-', attribute='zz')", "x[:2]|join(', ', attribute='a')", "l|select('gt', 1)|list", "l|select('>', 1)|list", "l|select('divisibleby', 2)|list", "l|reject('in', [1, 2])|list", "l|select('nosuch')|list", "n|select('nosuch')|list", "l|map('nosuch')|list", "l|map('string')|length", "(l|map('string'))[0]", "l|map('string')|last",
    "l|map('string')|first", "'y' if l|select('gt', 9) else 'n'", "l|map('string') is iterable", "l|map('string') is sequence", "l|reverse|first", "l|reverse|list|first", "n|reverse", "nothing|reverse|list", "'1,2'.split(',')|map('int')|sum", "'12.7'|int", "' 12 '|int", "'1_0'|int", "'0x1f'|int(base=16)", "'ff'|int(0, 16)", "'q'|int(5)", "'q'|float(1.5)", "'1e3'|float", "'inf'|float", "n|int", "l|int", "nothing|int", "2.5|round", "3.5|round",
    "2.675|round(2)", "1234.5|round(-2)", "7|round", "7|round(1, 'floor')", "2.1|round(0, 'ceil')", "2.15|round(1, 'floor')", "1|filesizeformat", "999|filesizeformat", "12345|filesizeformat", "1234567|filesizeformat(true)", "'a b'|urlencode", "{'a b': 'c/d', 'e': 1}|urlencode", "h|e", "h|e|e", "h|safe|e", "h|forceescape", "(h|e) + '<'", "(h|safe).upper()", "(h|safe)|replace('<', '&')", "(h|safe).replace('<', '&')", "(h|safe).split('<')[1] + '<'", "[h|safe]",
    "'a\nb\n\nc'|indent", "'a\nb'|indent(2, true)", "'a\n\nb'|indent('>> ', blank=true)", "'a\n'|indent", "''|indent(first=true)", "s|truncate(5, true, '')", "s|truncate(9, leeway=0)", "s|truncate(9, true, '..', 0)", "s|truncate(1)", "'hello big-world (foo) [bar]'|title", "'it\\'s'|title", "'it\\'s'.title()", "'foo bar_baz 3x'|wordcount", "s|center(20)|length", "s|default('x')", "n|default('x')", "n|default('x', boolean=true)", "nothing|default(default_value=1)", "ss.upper()", "ss.lower()",
    "ss.title()", "ss.swapcase()", "ss.casefold()", "ss.capitalize()", "u.splitlines()", "u.split()", "[u]", "[s, ss]", "'\\x00\\x7f\\xad\\ue000'|list", "['\\'', '\"', '\\'\"']", "m|tojson(sort_keys=true)", "{'b': 1, 'a': 'é'}|tojson(ensure_ascii=true, sort_keys=true)", "'🎉\\x7f'|tojson(true)", "l|tojson(separators=(',', ':'))", "m|tojson(indent='\t')", "m|tojson(indent=0)", "(1, 2)|tojson", "m.keys()|tojson", "l|map('string')|tojson", "nothing|tojson", "range|tojson", "1e400|tojson",
    "[1, 2]|first ~ 'x'", "1 ~ n ~ nothing ~ 2.0", "'a' 'b'", "'a' ~ 'b' * 2", "1 if nothing else 2", "(1 if false) is defined", "namespace(a=1).a", "namespace(a=1)['a']", "namespace(_a=1)", "dict(a=1) == {'a': 1}", "t + 1", "t is number", "t is integer", "i is sameas 7", "t is sameas true", "1 is sameas true", "'tojson' is filter", "'nosuch' is filter", "'defined' is test", "2 is even and 3 is odd", "2.0 is even", "s is even", "s|attr('upper')()", "m|attr('b')", "s.upper|string|length > 1",
]
BLOCKS = [
    "{% macro f(a, b=a, c='x') %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(a=1, c=3) }}", "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, z=4) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}", "{% macro f(a, b=1, c) %}{% endmacro %}",
    "{% macro f(a) %}[{{ caller(a, 2) }}]{% endmacro %}{% call(x, y=5) f(1) %}{{ x }}{{ y }}{{ i }}{% endcall %}", "{% macro f() %}{{ caller() }}{% endmacro %}{% for q in l %}{% call f() %}{{ q }}{{ loop.index }}{% endcall %}{% endfor %}", "{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}", "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% for q in l %}{% macro f(z) %}{{ q }}{{ z }}{% endmacro %}{{ f(1) }}{% endfor %}", "{% macro f(n) %}{{ f.name }}{{ n }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% macro g(k) %}{{ n }}{{ k }}{% if k %}{{ g(k - 1) }}{% endif %}{% endmacro %}{{ g(2) }}{% endmacro %}{{ f(7) }}", "{{ f is defined }}{% macro f() %}{% endmacro %}{{ f is callable }}{{ f() == '' }}", "{% set q = 1 %}{% macro f() %}{{ q }}{% set q = 2 %}{{ q }}{% endmacro %}{{ f() }}{{ q }}",
    "{% filter upper %}a{{ s }}b{% endfilter %}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% set v | trim | upper %}  a {{ s }} {% endset %}[{{ v }}]", "{% filter upper %}{% set z = 1 %}{% endfilter %}{{ z is defined }}", "{% with a = 1, b = i %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a is defined }}", "{% generation %}{% set a = 1 %}{{ a }}{% endgeneration %}{{ a is defined }}",
    "a{% raw %}{{ x }} {% if %}{% endraw %}b", "a {%- raw -%}  {{ x }} {% y %}  {%- endraw -%}  b", "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb", "{% raw %}x", "{% for k in x recursive %}{{ loop.depth }}{{ k.n }}{% if k.b %}({{ loop([{'n': 8}]) }}){% endif %};{% endfor %}", "{% for k in l %}{{ loop([1]) }}{% endfor %}", "{% for k in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(k > 1) }}{% endfor %}", "{% for k in l %}{{ loop.previtem|default('-') }}{{ loop.nextitem|default('-') }}{{ loop.depth0 }}{% endfor %}",
    "{% for k in l if k > 1 %}{{ loop.index }}/{{ loop.length }}:{{ k }} {% else %}none{% endfor %}", "{% for a, (b, c) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a + b + c }} {% endfor %}", "{% for a, b in m.items() %}{{ a }}={{ b }};{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% set a, b = 'xy' %}{{ b }}{{ a }}", "{% set (a, b), c = [1, 2], 3 %}{{ a }}{{ b }}{{ c }}", "{% set ns = namespace(x=1) %}{% set ns.x, y = 5, 6 %}{{ ns.x }}{{ y }}", "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set g = l|map('string') %}{{ g|join }}{{ g|join }}{% for q in g %}x{% endfor %}", "{% set g = l|map('string') %}{{ g|first }}{{ g|list }}", "{% for k in n %}{% endfor %}", "{% for k in nothing %}{% else %}e{% endfor %}", "{% for k in m %}{{ k }}{% endfor %}", "{% for c in s %}{% if loop.index > 3 %}{% break %}{% endif %}{{ c }}{% endfor %}", "{% for a in l %}{% for b in l %}{% if b == 1 %}{% continue %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}", "{% set loop_x %}{% for a in l %}{{ loop.last }}{% endfor %}{% endset %}{{ loop_x }}",
    "{% set x = x + [1] %}{{ x|length }}", "{% if l|length > 2 and not n %}y{% elif z %}q{% else %}z{% endif %}", "{% for k in [1, 2] %}{% set v = k %}{% endfor %}{{ v is defined }}", "{% set d2 = dict(d, **{'q': 1}) %}{{ d2.q }}{{ d2|length }}", "{{ range(*[1, 4])|list }}", "{{ '%s-%s' % (1, 2) ~ 'x' }}", "{% include 'x' %}", "{% import 'x' as y %}", "{% do l.append(1) %}",
]


def expressions():
    yield from (f"{{{{ {value}|{name} }}}}" for name in FILTERS for value in FILTERED)
    yield from (f"{{{{ {value} is {name} }}}}" for name in TESTS for value in FILTERED)
    yield from (f"{{{{ {value}.{method} }}}}" for method in METHODS for value in ("s", "ss"))
    yield from (f"{{{{ {expression} }}}}" for expression in FORMATS + OTHERS)
    yield from BLOCKS


def main():
    # Copies, as "list | indent" changes the list.
    rows = [{"source": source, "text": render(source, copy.deepcopy(VARIABLES))} for source in dict.fromkeys(expressions())]
    # What prints an address differs from run to run.
    rows = [row for row in rows if " at 0x" not in (row["text"] or "").lower() and "map('string')|wordcount" not in row["source"]]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (DATA / "jinja_expressions.json").write_text(f'{{"variables": {json.dumps(VARIABLES)},\n"snippets": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
