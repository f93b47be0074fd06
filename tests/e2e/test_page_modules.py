"""The page's own modules, in the browser: what they make of ugly texts and of streams that are cut anywhere."""
import json
import subprocess

import pytest

pytestmark = pytest.mark.tiny

# Markdown, and the elements that it becomes.
CASES = {
    "": "",
    "a \\``b": "<p>a ``b</p>",
    "\\```": "<p>```</p>",
    "one\ntwo  \nthree\\\nfour": "<p>one<br>two<br>three<br>four</p>",
    "# A #\n## B ##x\n#C\n####### D": "<h3>A</h3><h4>B ##x</h4><p>#C<br>####### D</p>",
    "A\n===\nB\n---\n***\n": "<h3>A</h3><h4>B</h4><hr>",
    "*a* **b** ***c*** _d_ __e__ ~~f~~ a_b_c 2*3*4 ~g~": "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em> <em>d</em> <strong>e</strong> "
                                                         "<s>f</s> a_b_c 2<em>3</em>4 ~g~</p>",
    "**a *b* c** *d **e** f* **g": "<p><strong>a <em>b</em> c</strong> <em>d <strong>e</strong> f</em> **g</p>",
    "`a` ``b ` c`` ` `` `": "<p><code>a</code> <code>b ` c</code> <code>``</code></p>",
    "`open *a*": "<p>`open <em>a</em></p>",
    r"\*a\* \` \<b> \q": r"<p>*a* ` &lt;b&gt; \q</p>",
    "[a *b*](http://x.y/z \"t\") [c](<https://x.y>) [d](ftp://x) [e]( javascript:1) [f][g] [h]":
        '<p><a href="http://x.y/z" rel="noopener noreferrer" target="_blank">a <em>b</em></a> '
        '<a href="https://x.y/" rel="noopener noreferrer" target="_blank">c</a> [d](ftp://x) [e]( javascript:1) [f][g] [h]</p>',
    "see https://x.y/a_b(c). And <https://x.y>": '<p>see <a href="https://x.y/a_b(c)" rel="noopener noreferrer" target="_blank">https://x.y/a_b(c)</a>. '
                                                'And <a href="https://x.y/" rel="noopener noreferrer" target="_blank">https://x.y</a></p>',
    "[![i](http://x.y/i.png)](http://x.y)": '<p><a href="http://x.y/" rel="noopener noreferrer" target="_blank">i</a></p>',
    "- a\n- b\n  - c\n    1. d\n- [x] e\n- [ ] f": "<ul><li>a</li><li>b<ul><li>c<ol><li>d</li></ol></li></ul></li>"
        '<li class="task"><input type="checkbox" disabled="" checked="" aria-label="done">e</li>'
        '<li class="task"><input type="checkbox" disabled="" aria-label="to do">f</li></ul>',
    "3. a\n4. b\n\n- c\n* d": '<ol start="3"><li>a</li><li>b</li></ol><ul><li>c</li></ul><ul><li>d</li></ul>',
    "- a\n\n- b\n\n  more": "<ul><li><p>a</p></li><li><p>b</p><p>more</p></li></ul>",
    "in 2024. x\n2. y": "<p>in 2024. x<br>2. y</p>",
    "> a\nb\n> > c\n\nd": "<blockquote><p>a<br>b</p><blockquote><p>c</p></blockquote></blockquote><p>d</p>",
    "|a|b|\n|:-|-:|\n|1\\|2|`x`|\n|only|\n\nend": '<div class="table" tabindex="0" role="group" aria-label="Table"><table><thead><tr><th class="align-left" scope="col">a</th>'
        '<th class="align-right" scope="col">b</th></tr></thead><tbody><tr><td class="align-left">1|2</td><td class="align-right"><code>x</code></td></tr>'
        '<tr><td class="align-left">only</td><td class="align-right"></td></tr></tbody></table></div><p>end</p>',
    "a | b\nno rule": "<p>a | b<br>no rule</p>",
    "<b>x</b> &amp; <script>y</script>": "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp; &lt;script&gt;y&lt;/script&gt;</p>",
    "\ud800 \x00 \u202e é\U0001f600": None,  # only that it is taken
}


def test_markdown_becomes_these_elements(open_page):
    made = open_page(key=False).run("""
        const { MarkdownView } = await load('markdown_view.js');
        return argument.map((text) => { const view = new MarkdownView(); view.show(text); return view.element.innerHTML; });""", list(CASES))
    for (text, wanted), html in zip(CASES.items(), made, strict=True):
        assert wanted is None or html == wanted, text


def test_code_has_its_language_and_a_fence_may_be_open(open_page):
    made = open_page(key=False).run("""
        const { parseMarkdown } = await load('markdown.js');
        return argument.map((text) => parseMarkdown(text));""",
        ["```py\na\n  b\n```\nc", "~~~\n```\n~~~", "````\n```\n````", "```js x\nopen", "  ```\n  a\n b\n  ```", "    four\n\n    more\nx", "```a`b"])
    code = [[(block["language"], block["text"], block["closed"]) if block["type"] == "code" else block["text"] for block in blocks] for blocks in made]
    assert code == [[("py", "a\n  b", True), "c"], [("", "```", True)], [("", "```", True)], [("js", "open", False)], [("", "a\nb", True)],
                    [("", "four\n\nmore", True), "x"], ["```a`b"]]


def test_a_text_that_grows_is_read_as_a_whole_one(open_page):
    """Random texts of all that Markdown has, in pieces: after each, the elements are those of the text so far."""
    wrong = open_page(key=False).run("""
        const { MarkdownView } = await load('markdown_view.js');
        const pieces = ['# h\\n', '- a\\n', '  - b\\n', '\\n', '1. x\\n', '2', '.', ' y\\n', '> q\\n', 'text *b* ', '`c`', '```\\n', 'code\\n', '~~~\\n',
          '|a|b|\\n', '|-|-|\\n', '\\r\\n', '    ', '---\\n', '***', '[l](http://x.y)', '\\t', '**', '===\\n', '10) ', '<b>', ']', '!['];
        let state = argument;
        const random = (n) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % n; };
        for (let round = 0; round < 1500; ++round) {
          const growing = new MarkdownView();
          let text = '';
          for (let i = random(14); i >= 0; --i) {
            text += pieces[random(pieces.length)];
            growing.show(text);
          }
          const whole = new MarkdownView();
          whole.show(text);
          if (whole.element.innerHTML !== growing.element.innerHTML) return [text, whole.element.innerHTML, growing.element.innerHTML];
        }
        return null;""", 7)
    assert wrong is None


def test_no_text_takes_longer_than_its_length(open_page):
    """Of each trap 200,000 characters: what took the square of that would not come back before the test is given up."""
    depth = open_page(key=False).run("""
        const { parseMarkdown } = await load('markdown.js');
        const { MarkdownView } = await load('markdown_view.js');
        const { parseInline } = await load('inline.js');
        const N = 199000, times = (text, n = N / text.length) => text.repeat(Math.max(1, Math.floor(n)));
        const traps = ['*', '*a ', 'a* ', '_a _', '**_a _b** ', '~~a ', '[', '[a](', '![[', '![', '`', '` `` ', 'http://', '<http://', '\\\\', '> ', '- ',
          '|', 'a  \\n', '\\ud800', '```\\n', '    a\\n\\n', '- a\\n\\n', '1. ', '#', '|-', '<', '](', '(', '[x](y "'].map((text) => times(text));
        traps.push(times('*a ', N / 6) + times('a* ', N / 6), times('[', N / 2) + times(']', N / 2), times('![', N / 8) + times('](http://a)', N / 12),
          Array.from({ length: 600 }, (_, i) => times('`', i)).join(' '), `# ${times(' ')}x`, `# ${times(' #')}x`, `|a\\n---${times(' ')}x`, `- ${times('- ')}x`,
          `-${times(' ')}x`, `\\` ${times('x')}y\\``, `[a](${times('(')}`, `[a](http://x${times('(a)')}`, `- a\\n${times('\\n')}x`,
          Array.from({ length: 600 }, (_, i) => `${times(' ', i)}- a`).join('\\n'), `a|b\\n-|-\\n${times('|\\n')}`);
        const deepest = (node) => 1 + (node.blocks ?? []).concat((node.items ?? []).flatMap((item) => item.blocks))
          .reduce((most, child) => Math.max(most, deepest(child)), 0);
        const inner = (nodes) => 1 + nodes.reduce((most, node) => Math.max(most, node.children ? inner(node.children) : 0), 0);
        let most = 0;
        for (const trap of traps) {
          for (const block of parseMarkdown(trap)) most = Math.max(most, deepest(block));
          most = Math.max(most, inner(parseInline(trap)));
          new MarkdownView().show(trap.slice(0, 40000));
        }
        return most;""")
    assert depth < 60


def test_events_come_out_of_any_cutting(open_page):
    stream = (': keep-alive\n: x\r\n\r\ndata: {"a":"é\U0001f600"}\r\ndata: 2\r\n\r\nevent: error\rdata\r\r: c\nid: 7\ndata:x\n\n'
              'data: a: b\nother: y\nnothing\n\ndata: cut')
    found = open_page(key=False).run("""
        const { SseParser } = await load('sse.js');
        const bytes = new TextEncoder().encode(argument);
        const events = (cuts) => {
          const heard = [];
          const parser = new SseParser((event) => heard.push(event.data), (comment) => heard.push(`:${comment}`));
          let from = 0;
          for (const cut of [...cuts, bytes.length]) { parser.push(bytes.slice(from, cut)); from = cut; }
          parser.end();
          return heard;
        };
        const whole = events([]), text = JSON.stringify(whole), wrong = [];
        for (let i = 0; i <= bytes.length; ++i) for (let j = i; j <= bytes.length; ++j) if (JSON.stringify(events([i, j])) !== text) wrong.push([i, j]);
        if (JSON.stringify(events([...bytes.keys()])) !== text) wrong.push('each');
        return { whole, wrong };""", stream)
    assert found == {"whole": [":keep-alive", ":x", '{"a":"é\U0001f600"}\n2', "", ":c", "x", "a: b"], "wrong": []}


def test_an_event_without_an_end_is_given_up(open_page):
    assert open_page(key=False).run("""
        const { SseParser } = await load('sse.js');
        const parser = new SseParser(() => {});
        try { for (let i = 0; i < 20; ++i) parser.text('x'.repeat(1 << 20)); } catch (error) { return error.message; }
        return null;""") == "an event of the stream is too long"


def test_money_is_exact(open_page):
    assert open_page(key=False).run("""
        const { soundJson, nanoFromDecimal, nanoFromCost, dollars, perMillion, shortCount } = await load('format.js');
        if (soundJson({ a: "x\\ud800y", b: ["\\u{1f600}"] }) !== '{"a":"x\\ufffdy","b":["\\u{1f600}"]}') return "unsound";
        return [['0.000000075', '12', '1.5', 'x', '', '0.0000000001'].map(nanoFromDecimal), [0.000004425, 0.1 + 0.2, 0].map(nanoFromCost),
          [4425, 0, 1000000000, 1000000001, null].map(dollars), [75, 150, 1000, 1250000, 0].map(perMillion), [999, 8192, 131072, 40000].map(shortCount)];""") == [
        [75, 12_000_000_000, 1_500_000_000, None, None, None], [4425, 300_000_000, 0],
        ["$0.000004425", "$0", "$1", "$1.000000001", "–"], ["$0.075", "$0.15", "$1.00", "$1250.00", "$0.00"], ["999", "8k", "128k", "40k"]]


def test_what_was_cut_has_no_known_cost(open_page):
    assert open_page(key=False).run("""
        const { spentOn } = await load('answers.js');
        const of = (...runs) => spentOn({ nodes: { 1: { runs }, 2: {} } });
        return [of(), of({}), of({ cost_nano: 5, first_ms: 1 }, { cost_nano: 0, first_ms: 1 }, { cost_nano: null, first_ms: null }),
          of({ cost_nano: 5, first_ms: 1 }, { cost_nano: null, first_ms: 3 }), of({ cost_nano: null, first_ms: 3 })];""") == [
        None, None, {"nano": 5, "whole": True}, {"nano": 5, "whole": False}, None]


def test_every_parameter_is_one_of_the_servers(open_page, page_system):
    """Each at a value that is no default, in one request: the server takes it."""
    page = open_page()
    body = page.run("""
        const { groupsFor } = await load('parameters.js');
        const context = { capabilities: { reasoning: true, tools: true }, compare: false };
        const parameters = groupsFor(context).flatMap((group) => group.parameters);
        const { paramsOf } = await load('request.js');
        const { emptySettings } = await load('conversation.js');
        const typed = { stop: 'one\\ntwo', stop_token_ids: '1, 2', logit_bias: '{"5": -1.5}', seed: '7', n: '2', max_tokens: '9', min_tokens: '3',
          logprobs: 'on', top_logprobs: '2', reasoning_effort: 'low', min_p: '0.1', top_p: '0.9', top_k: '20' };
        const values = Object.fromEntries(parameters.map(({ name, kind }) => [name, typed[name] ?? (kind === 'flag' ? 'on' : '1')]));
        const { params, errors } = paramsOf({ ...emptySettings(), values }, context);
        return { params, errors, names: parameters.length };""")
    assert body["errors"] == []
    assert sum(len(value) if name == "reasoning" else 1 for name, value in body["params"].items()) == body["names"]
    status, answer = page_system.chat("Hello", **body["params"])
    assert status == 200 and len(answer["choices"]) == 2, answer


def test_what_no_parameter_may_be_is_said(open_page):
    errors = open_page(key=False).run("""
        const { paramsOf } = await load('request.js');
        const { emptySettings } = await load('conversation.js');
        const of = (values, more = {}) => paramsOf({ ...emptySettings(), values, ...more }, { capabilities: { reasoning: true, tools: true } }).errors.map((one) => one.name);
        return [of({ temperature: '2.1', top_k: '1.5', n: '5', seed: '9007199254740993', stop: 'x'.repeat(1025), logit_bias: '[1]', stop_token_ids: '-1' }),
          of({}, { tools: '[{"description": "x"}]', format: { type: 'json_schema', schema: '{' } }), of({ temperature: '', seed: ' ' })];""")
    assert errors == [["temperature", "top_k", "seed", "stop", "stop_token_ids", "n", "logit_bias"], ["response_format", "tools"], []]


def test_small_texts_make_few_elements_and_few_steps(open_page):
    """Counted, not timed: elements for each character, and the items that JavaScript's own functions of lists looked at."""
    found = open_page(key=False).run("""
        const { MarkdownView } = await load('markdown_view.js');
        const { parseInline } = await load('inline.js');
        const wide = (rows) => `|${'a|'.repeat(64)}\\n|${'-|'.repeat(64)}\\n${rows}`;
        const texts = [wide('|\\n'.repeat(10000)), wide('x\\n'.repeat(10000)), `a|b\\n-|-\\n${'|'.repeat(10000)}`, '> '.repeat(5000) + 'x', `${'> '.repeat(12)}x\\n\\n`.repeat(300),
          Array.from({ length: 300 }, (_, i) => `${' '.repeat(2 * i)}- x`).join('\\n'), '- '.repeat(5000), '**a *b '.repeat(1500), '*a _b ~~c '.repeat(1000) + 'c~~ b_ a* '.repeat(1000)];
        const most = texts.map((text) => {
          const view = new MarkdownView();
          view.show(text);
          return view.element.querySelectorAll('*').length / text.length;
        });
        let steps = 0;
        for (const name of ['filter', 'map', 'flatMap', 'splice', 'slice']) {
          const own = Array.prototype[name];
          Array.prototype[name] = function (...given) { steps += name === 'splice' ? this.length - given[0] : this.length; return own.apply(this, given); };
        }
        const stepsOf = (text) => { steps = 0; parseInline(text); return steps; };
        const traps = { unclosed: (n) => '*a **b _c '.repeat(n), images: (n) => '!['.repeat(n) + '[a](http://a) '.repeat(n),
          nested: (n) => '!['.repeat(n) + '`a` '.repeat(n) + '](http://a)'.repeat(n), deep: (n) => '*a '.repeat(n) + 'a* '.repeat(n), brackets: (n) => '['.repeat(n) + '](http://a)'.repeat(n) };
        const growth = Object.entries(traps).map(([name, make]) => [name, stepsOf(make(4000)) / Math.max(1000, stepsOf(make(1000)))]);
        return { most: Math.max(...most), growth };""")
    assert found["most"] <= 2, found
    assert all(growth < 6 for _, growth in found["growth"]), found  # of a text four times as long


def test_times_and_shares_are_rounded_as_they_are_read(open_page):
    assert open_page(key=False).run("""
        const { seconds, share } = await load('format.js');
        return [[0, 999.4, 999.7, 59940, 59960, 119700, 3599900, null].map(seconds), [1, 0.99999, 0.5, 0, 0.07, null].map(share)];""") == [
        ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 0 s", "2 min 0 s", "60 min 0 s", "–"], ["100 %", "99.99 %", "50 %", "0 %", "7 %", "–"]]


def test_a_name_that_is_none_in_a_literal_stays_a_name(open_page):
    """`__proto__` in a schema, in the JavaScript that is shown."""
    code = open_page(key=False).run("""
        const { snippets } = await load('snippets.js');
        return snippets('http://a', JSON.parse(argument)).find(({ name }) => name === 'JavaScript').text;""",
        '{"model": "m", "messages": [], "x": {"__proto__": {"a": "\\"__proto__\\":"}}}')
    assert '["__proto__"]: {' in code and '"a": "\\"__proto__\\":"' in code


@pytest.mark.parametrize("repeats", [1, 8000])
def test_a_request_of_any_length_is_code_that_a_shell_runs(open_page, repeats):
    """One that is too long for an argument comes by standard input."""
    body = {"model": "m", "messages": [{"role": "user", "content": "It's `$HOME` \\ é\nEND\n" * repeats}]}
    code = open_page(key=False).run("""
        const { snippets } = await load('snippets.js');
        return snippets("http://a/it's", argument)[0].text;""", body)
    curl = "curl() { env python3 -c 'import sys; a = sys.argv; print(a[a.index(\"-d\") + 1] if \"-d\" in a else sys.stdin.read())' \"$@\"; }\n"
    said = subprocess.run(["bash"], input=curl + code, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(said.stdout) == body
