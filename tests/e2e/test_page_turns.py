"""The turns of a conversation on the model page: what a failure, a reload and a stream leave of them, where the focus goes, and
what of the page is drawn again."""
import json
import re

import pytest
from playwright.sync_api import expect

from browser import delta
from system import until

pytestmark = pytest.mark.tiny

USAGE = {"prompt_tokens": 100, "completion_tokens": 60, "completion_tokens_details": {"reasoning_tokens": 50}, "estimated_cost": 0.000001}


def test_a_retry_keeps_the_turns_behind_a_failure(open_page):
    page = open_page()
    page.script({"error": {"message": "gone"}}, done=False)
    page.ask("One")
    page.script(delta("two"), delta(finish="stop"))
    page.ask("Two")
    page.script(delta("again"), delta(finish="stop"))
    page.tab.locator(".failure >> text=Retry").click()
    expect(page.tab.locator(".turn.assistant > .prose")).to_have_text(["again"])
    assert page.contents() == ["", "One", "Two", "again", "two"]
    page.tab.locator('[aria-label="The branch before"]').click()
    expect(page.tab.locator(".turn.user")).to_have_text(["One", "Two"])


def test_a_failure_that_nothing_follows_is_replaced(open_page):
    page = open_page()
    page.script({"error": {"message": "gone"}}, done=False)
    page.ask("One")
    page.script(delta("again"), delta(finish="stop"))
    page.tab.locator(".failure >> text=Retry").click()
    expect(page.tab.locator(".turn.assistant > .prose")).to_have_text(["again"])
    expect(page.tab.locator(".siblings")).to_have_count(0)
    assert page.contents() == ["One", "again"]


def test_an_answer_that_a_reload_cut_has_no_numbers(open_page):
    page = open_page()
    page.script(delta("half"), {"usage": USAGE}, delta(finish="stop"))
    page.ask("One")
    page.tab.evaluate("""() => {
        const key = 'quire.conversation.' + sessionStorage.getItem('quire.conversation');
        const conversation = JSON.parse(localStorage.getItem(key)), node = Object.values(conversation.nodes).at(-1);
        const { model, system, params } = node.runs[0];
        Object.assign(node, { state: 'running', finish: undefined, runs: [{ model, system, params }] });
        localStorage.setItem(key, JSON.stringify(conversation));
    }""")
    page.tab.reload()
    answer = page.tab.locator(".turn.assistant")
    expect(answer.locator(".failure")).to_contain_text("The page was left")
    answer.locator(".numbers summary").click()
    numbers = dict(zip(answer.locator(".numbers dt").all_inner_texts(), answer.locator(".numbers dd").all_inner_texts(), strict=True))
    assert [numbers[name] for name in ("Cost", "Answer", "Answer tokens/s", "First token", "In all")] == ["–", "– tokens", "–", "–", "–"]
    assert not re.search("NaN|undefined|null", page.tab.locator("body").inner_text())


def test_rates_are_of_tokens_that_came(open_page):
    """Of 60 tokens 50 were thought. Where they are left out, they count in no rate, nor does the time that they took."""
    rates = open_page(key=False).run("""
        const { Run } = await load('run.js');
        const of = (reasoning, usage, waited) => {
          const run = new Run(reasoning === null ? {} : { reasoning }, {});
          Object.assign(run, { begun: 0, first: 1000, last: 2000, usage, waited });
          const { prompt_rate, decode_rate } = run.result('done');
          return [prompt_rate, decode_rate];
        };
        const { completion_tokens_details, ...bare } = argument;
        return [of(null, argument, false), of({ exclude: true }, argument, false), of({ exclude: true }, bare, false),
          of(null, argument, true), of(null, null, false), of({ exclude: true }, { ...argument, completion_tokens: 54 }, false)];""", USAGE)
    assert rates == [[100, 59], [None, 9], [None, None], [None, 59], [None, None], [None, None]]


def test_while_an_answer_streams_only_its_turn_is_drawn(open_page):
    page = open_page()
    page.script(delta("- one\n- two\n\nlong"), delta(finish="stop"))
    for text in ("One", "Two", "Three"):
        page.ask(text)
    page.unscript()
    page.set(reasoning_effort="none", max_tokens=100_000, ignore_eos="on")
    page.send("Go on for long")
    running = page.tab.locator('.turn.assistant[aria-busy="true"]')
    expect(running.locator(":scope > .prose")).not_to_be_empty()
    page.tab.evaluate("""() => {
        window.drawn = { inside: 0, outside: [] };
        const running = document.querySelector('.turn.assistant[aria-busy="true"]');
        new MutationObserver((records) => records.forEach(({ target }) => {
          if (running.contains(target)) window.drawn.inside += 1;
          else window.drawn.outside.push(target.outerHTML.slice(0, 80));
        })).observe(document.querySelector('.frame'), { childList: true, characterData: true, subtree: true });
    }""")
    until("it has grown", lambda: page.tab.evaluate("window.drawn.inside") > 50)
    outside = page.tab.evaluate("window.drawn.outside.filter((html) => !html.includes('facts live'))")
    page.tab.keyboard.press("Escape")
    assert outside == []


def test_of_a_block_that_grows_only_the_end_is_made_again(open_page):
    """300 items, rows and quotes that come one by one: elements made are a few for each, not all of them each time."""
    made = open_page(key=False).run("""
        const { MarkdownView } = await load('markdown_view.js');
        const create = document.createElement.bind(document);
        let count = 0;
        document.createElement = (tag) => { count += 1; return create(tag); };
        const texts = { list: (i) => `- item ${i} *x*\\n`, table: (i) => (i ? `|a ${i}|b|\\n` : '|x|y|\\n|-|-|\\n'), quote: (i) => `> p ${i}\\n>\\n` };
        return Object.values(texts).map((line) => {
          count = 0;
          const view = new MarkdownView();
          let text = '';
          for (let i = 0; i < 300; ++i) view.show(text += line(i));
          const whole = new MarkdownView();
          whole.show(text);
          if (whole.element.innerHTML !== view.element.innerHTML) throw new Error(view.element.innerHTML.slice(0, 300));
          return count;
        });""")
    assert max(made) < 300 * 16, made


def test_code_that_grows_keeps_what_its_reader_selected(open_page):
    assert open_page().run("""
        const { MarkdownView } = await load('markdown_view.js');
        const view = new MarkdownView();
        document.body.append(view.element);
        view.show('```py\\none = 1\\n');
        const written = view.element.querySelector('code').firstChild;
        getSelection().setBaseAndExtent(written, 0, written, 7);
        view.show('```py\\none = 1\\ntwo = 2\\n');
        return [String(getSelection()).trim(), view.element.querySelector('code').textContent];""") == ["one = 1", "one = 1\ntwo = 2\n"]


def test_the_focus_stays_where_something_is(open_page):
    page = open_page()
    page.set(reasoning_effort="none", max_tokens=100_000, ignore_eos="on")
    page.send("Go on for long")
    page.tab.locator("#send[aria-label^=Stop]").click()
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    expect(page.tab.locator("#draft")).to_be_focused()
    expect(page.tab.locator("#announcer")).to_have_text("The answer was stopped")
    page.set(max_tokens=3)
    page.tab.locator('.turn.assistant [aria-label="Another answer"]').click()
    expect(page.tab.locator(".siblings")).to_have_text("2/2")
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    page.tab.locator('[aria-label="The branch before"]').click()
    expect(page.tab.locator('[aria-label="The next branch"]')).to_be_focused()
    more = page.tab.locator('#sidebar [aria-label^="More"]')
    for then in ("Rename", "Delete"):
        more.click()
        page.tab.click(f'[role="menuitem"] >> text={then}')
        page.tab.keyboard.press("Escape" if then == "Rename" else "Enter")
        expect(more).to_be_focused()
    more.click()
    page.tab.click('[role="menuitem"] >> text=Delete')
    page.tab.click("#sidebar button.bad")
    assert page.tab.evaluate("document.activeElement.id") in ("draft", "new-conversation")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_answer_that_was_not_chosen_can_be_read(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.script(delta(reasoning_content="1. *thought*\n"), delta("> quoted\n\n`code` [link](http://a.example)\n\n1. one"), delta(finish="stop"))
    page.set(temperature=0.5)
    page.tab.check("#compare")
    page.ask("Two", answers=2)
    page.tab.locator(".aside .reasoning summary").click()
    assert page.contrast_faults() == []


def test_behind_a_dialog_nothing_is_pressed(open_page):
    page = open_page()
    page.script(delta("one"), delta(finish="stop"))
    page.ask("One")
    page.tab.keyboard.press("Alt+Slash")
    page.tab.keyboard.press("Alt+r")
    page.tab.keyboard.press("Alt+n")
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator(".turn")).to_have_count(2)
    assert len(page.bodies) == 1
    page.tab.click("#open-key")
    page.tab.fill("#key", "sk-quire-typed")
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator("#key")).to_have_count(0)


def test_what_is_copied_in_a_dialog_is_copied_without_a_clipboard_too(open_page):
    """As by plain http from another host."""
    page = open_page()
    page.script(delta("one"), delta(finish="stop"))
    page.ask("One").locator('[aria-label^="View code"]').click()
    page.tab.evaluate("""() => {
        Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.addEventListener('copy', () => { window.copied = document.activeElement.value; });
    }""")
    page.tab.locator('dialog [aria-label="Copy the code"]').click()
    expect(page.tab.locator("dialog .icon-check")).to_have_count(1)
    assert page.tab.evaluate("window.copied").startswith("curl ")
    expect(page.tab.locator('dialog [aria-label="Copy the code"]')).to_be_focused()


def test_what_was_stored_by_nobody_knows_whom_leaves_the_page_usable(open_page):
    page = open_page()
    nodes = {"1": {"id": 1, "parent": 0, "role": "user", "content": "there"},
             "2": {"id": 2, "parent": 1, "role": "assistant", "runs": 7, "calls": {"a": 1}, "error": "x", "content": None},
             "4": {"id": 4, "parent": 1, "role": "user", "content": "x", "state": "running"},
             "5": {"id": 5, "parent": 1, "role": "assistant", "content": "x", "state": "running"},
             "3": {"id": 3, "parent": 2, "role": "assistant", "runs": [None, {"params": 1}], "calls": [None, {"name": {}, "arguments": "{"}], "reasoning": 5}}
    odd = {"v": 1, "id": "odd", "nodes": nodes, "created": "x", "updated": None, "active": {"1": 2, "2": "x"}, "removed": 3,
           "settings": [{"format": {"type": "json_schema", "schema": {}}}, 5]}
    page.tab.evaluate("(odd) => { localStorage.setItem('quire.conversation.odd', odd); sessionStorage.setItem('quire.conversation', 'odd'); }",
                      json.dumps(odd))
    page.tab.reload()
    expect(page.tab.locator(".turn.user")).to_contain_text("there")
    expect(page.tab.locator(".turn.assistant")).to_have_count(2)
    assert "Invalid Date" not in page.tab.locator("#sidebar").inner_text()
    page.script(delta("answered"), delta(finish="stop"))
    page.set()
    page.tab.select_option("#set-format", "text")
    page.ask("And on")
    expect(page.tab.locator(".turn.assistant > .prose").last).to_have_text("answered")


def test_an_event_that_says_nothing_ends_the_answer_with_words(open_page):
    page = open_page()
    for event, words in ((None, "can’t be read"), ({"error": "boom"}, "without words"), ({"error": {"message": "m", "param": "p"}}, "p: m")):
        page.script(event, done=False)
        expect(page.ask("One").locator(".failure")).to_contain_text(words)


def test_a_key_that_finds_no_room_is_used_all_the_same(open_page):
    assert open_page().run("""
        const { keys } = await load('api.js');
        const before = [sessionStorage, localStorage].map((one) => one.getItem('quire.key'));
        Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
        keys.set('sk-quire-other', true);
        return [before[0] !== null, keys.get()];""") == [True, "sk-quire-other"]
