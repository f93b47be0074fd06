"""The model page in a browser, against the running system: a tiny model that reasons, and answers by script where the text
must be known. No test may leave an error of a script, a breach of the policy or a request to another host behind."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from browser import delta
from system import ROOT, http, metric, until

pytestmark = pytest.mark.tiny


def numbers_of(answer):
    """{"Prompt": "33 tokens", ...} of an answer's details."""
    if not answer.locator(".numbers[open]").count():
        answer.locator(".numbers summary").click()
    return dict(zip(answer.locator(".numbers dt").all_inner_texts(), answer.locator(".numbers dd").all_inner_texts(), strict=True))


def nano(dollars):
    whole, _, part = dollars.removeprefix("$").partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def test_the_key_is_asked_for_and_goes_with_the_tab(open_page):
    page = open_page(key=False)
    page.tab.fill("#key", "sk-quire-nobody")
    page.tab.press("#key", "Enter")
    expect(page.tab.locator("dialog .bad")).not_to_be_empty()
    page.give_key()
    assert page.tab.evaluate("[sessionStorage.length, localStorage.getItem('quire.key')]") == [1, None]
    page.tab.reload()
    expect(page.tab.locator(".badges")).to_be_visible()
    page.tab.click("#open-key")
    page.give_key(remember=True)
    until("the key is kept", lambda: page.tab.evaluate("localStorage.getItem('quire.key')") == page.system.api_key)
    page.tab.click("#open-key")
    page.tab.click("text=Forget the key")
    assert page.tab.evaluate("[sessionStorage.length, localStorage.getItem('quire.key')]") == [0, None]


def test_the_card_says_what_the_model_is(open_page, page_system):
    page = open_page()
    card = page.tab.locator("#card")
    expect(card).to_contain_text(page_system.model)
    assert card.locator(".badge").all_inner_texts() == ["Public", "bfloat16", "128k context", "JSON", "Tools", "Reasoning"]
    expect(card).to_contain_text("$0.075")
    expect(card.locator(".facts.live")).to_contain_text(re.compile(r"Ready groups\s*1"))
    page.set(max_tokens=5)
    page.ask("So that there is a first token")
    expect(card.locator(".facts.live")).to_contain_text(re.compile(r"First token\s*\d"))
    expect(card.locator(".facts.live")).to_contain_text(re.compile(r"Uptime\s*100 %\s*Numerics\s*\w+/bf16/"))


def test_one_of_several_models_is_chosen(open_page, page_system):
    page = open_page(key=False)
    own = http("GET", f"{page_system.url}/v1/models", page_system.api_key)[1]["data"][0]
    other = {**own, "id": "a/<b>other</b>", "dtype": "float8", "capabilities": {"chat": True}}
    page.tab.route("**/v1/models", lambda route: route.fulfill(json={"data": [own, other]}))
    page.give_key()
    page.tab.select_option("#model", other["id"])
    expect(page.tab.locator(".badge")).to_have_text(["Public", "float8", "128k context"])
    page.script(delta("Hi"), delta(finish="stop"))
    page.ask("Hello")
    assert page.bodies[-1]["model"] == other["id"]
    page.tab.keyboard.press("Alt+n")
    page.tab.reload()
    expect(page.tab.locator("#model")).to_have_value(other["id"])


def test_a_model_that_comes_later_is_found(open_page):
    page = open_page(key=False)
    page.tab.clock.install()
    page.tab.route("**/v1/models", lambda route: route.fulfill(json={"data": []}))
    page.tab.fill("#key", page.system.api_key)
    page.tab.press("#key", "Enter")
    expect(page.tab.locator("#notice")).to_contain_text("no model")
    page.send("Not asked")
    expect(page.tab.locator("#notice")).to_contain_text("No model is there now")
    page.tab.unroute("**/v1/models")
    page.tab.clock.fast_forward(5000)
    expect(page.tab.locator(".badges")).to_be_visible()
    expect(page.tab.locator("#notice")).to_be_hidden()


def test_an_answer_streams_folds_its_reasoning_and_says_what_it_cost(open_page, page_system):
    page = open_page()
    page.set(**{"reasoning-max_tokens": 30, "max_tokens": 200, "ignore_eos": "on"})
    page_system.wait_for_settles()
    spent_before = sum(entry["cost_nano_usd"] for entry in page_system.usage())
    answer = page.ask("Hello")
    expect(answer.locator(".reasoning summary")).to_have_text(re.compile(r"Thought for \d"))
    assert answer.locator(".reasoning").get_attribute("open") is None
    answer.locator(".reasoning summary").click()
    expect(answer.locator(".reasoning .prose")).to_be_visible()
    numbers, node = numbers_of(answer), page.last_node()
    run = node["runs"][-1]
    assert numbers["Answer"] == f"{run['completion']} tokens" == "200 tokens"
    assert int(numbers["of it reasoning"]) == run["reasoning"] > 0
    assert numbers["Finish"] == "length: it was cut"
    assert re.fullmatch(r"[0-9a-f]{32}", numbers["Request"])
    assert numbers["Seed"] == str(page.bodies[-1]["seed"])
    assert nano(numbers["Cost"]) == 75 * run["prompt"] + 150 * run["completion"]
    page_system.wait_for_settles()
    assert sum(entry["cost_nano_usd"] for entry in page_system.usage()) - spent_before == nano(numbers["Cost"])

    text = answer.locator(":scope > .prose").inner_text()
    page.tab.reload()
    answer = page.tab.locator(".turn.assistant")
    expect(answer).to_have_count(1)
    assert answer.locator(":scope > .prose").inner_text() == text
    assert numbers_of(answer) == numbers


def test_a_stop_stops_it_and_what_came_can_be_continued(open_page, page_system):
    """The answer is so long that it is under way, however fast the machine is."""
    page = open_page()
    page.set(**{"reasoning-max_tokens": 5, "max_tokens": 100_000, "ignore_eos": "on"})
    gone = metric(page_system.gateway_metrics(), "quire_gateway_client_gone_total")
    page.send("Go on for long")
    running = page.tab.locator('.turn.assistant[aria-busy="true"] > .prose')
    expect(running).not_to_be_empty()
    expect(page.tab.locator("#send")).to_have_attribute("aria-label", "Stop (Esc)")
    page.tab.keyboard.press("Escape")
    answer = page.tab.locator('.turn.assistant[aria-busy="false"]')
    expect(answer.locator(".numbers")).to_contain_text("stopped by you")
    until("the gateway knows", lambda: metric(page_system.gateway_metrics(), "quire_gateway_client_gone_total") > gone)
    before = page.last_node()["content"]
    assert before

    page.set(max_tokens=100_000)
    page.tab.unroute_all()
    answer.locator('[aria-label="Continue this answer"]').click()
    expect(page.tab.locator('.turn.assistant[aria-busy="true"]')).to_have_count(1)
    page.tab.keyboard.press("Escape")
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    assert page.bodies[-1]["messages"][-1]["content"] == before
    assert page.last_node()["content"].startswith(before)


def test_branches_and_two_settings_side_by_side(open_page):
    page = open_page()
    page.set(max_tokens=12, seed=1, reasoning_effort="none")
    first = page.ask("One").locator(":scope > .prose").inner_text()
    page.tab.locator('.turn.assistant [aria-label="Another answer"]').click()
    expect(page.tab.locator(".turn.assistant .siblings")).to_have_text("2/2")
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    page.tab.locator('.turn.user [aria-label^="Edit"]').click()
    page.tab.fill(".editor textarea", "Two")
    page.tab.press(".editor textarea", "Enter")
    expect(page.tab.locator(".turn.user .siblings")).to_have_text("2/2")
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    page.tab.locator('.turn.user [aria-label="The branch before"]').click()
    expect(page.tab.locator(".turn.user .bubble")).to_have_text("One")
    page.tab.locator('.turn.assistant [aria-label="The branch before"]').click()
    expect(page.tab.locator(".turn.assistant .siblings")).to_have_text("1/2")
    assert page.tab.locator(".turn.assistant > .prose").inner_text() == first

    page.tab.keyboard.press("Alt+n")
    page.tab.check("#compare")
    page.set(temperature=0)
    page.ask("Side by side", answers=2)
    assert page.tab.locator(".pair .side").count() == 2
    assert "temperature" not in page.bodies[-2] and page.bodies[-1]["temperature"] == 0
    page.tab.click("text=Go on from here")
    page.tab.uncheck("#compare")
    page.ask("And on")
    chosen = next(node for node in page.stored()["nodes"].values() if node.get("side") == 1)
    assert page.bodies[-1]["messages"][1]["content"] == chosen["content"]


UGLY = "It's \"q\" $HOME `id` \\n \\ {x} ${y} 'a'\\''b' #\n\té😀\u2028</script>%s"


def test_view_code_runs_and_is_the_same_request(open_page, page_system):
    page = open_page()
    page.set(**{"reasoning-max_tokens": 8, "max_tokens": 40, "temperature": 0.7, "stop": "zzz'\nyyy", "loop_guard": "on",
                "system": UGLY, "ignore_eos": "on"})
    page.ask(UGLY).locator('[aria-label^="View code"]').click()
    node = page.last_node()
    code = {}
    for tab in page.tab.locator('dialog [role="tab"]').all():
        tab.click()
        code[tab.inner_text()] = page.tab.locator("dialog pre").text_content()
    environment = {**os.environ, "QUIRE_API_KEY": page_system.api_key,
                   "QUIRE_GRPC": json.loads((page_system.data / "run/gateway").read_text())["grpc"]}

    def run(*command, text):
        return subprocess.run(command, input=text, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    assert page_system.api_key not in "".join(code.values())
    streamed = run("bash", text=code["curl"])
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == node["content"]
    whole = node["reasoning"] + node["content"]
    for name in ("Python", "gRPC"):
        assert run(sys.executable, "-", text=code[name]).startswith(whole), name
    if node_js := shutil.which("node"):
        assert run(node_js, "--input-type=module", "-", text=code["JavaScript"]) == whole
    assert json.loads(code["curl"].split("-d '", 1)[1].rsplit("'", 1)[0].replace("'\\''", "'")) == page.bodies[-1]


def test_calls_are_answered_in_a_form(open_page):
    page = open_page()
    page.tab.click("#open-drawer")
    tools = page.tab.locator('[aria-label="Tools"]')
    tools.fill("[{")
    expect(page.tab.locator(".fault:visible")).to_contain_text("no JSON")
    tools.fill('{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}')
    page.tab.locator("#set-tool-choice").select_option("required")
    calls = [{"index": i, "id": f"call_{i}", "type": "function", "function": {"name": "weather", "arguments": ""}} for i in (0, 1)]
    more = [{"index": i, "function": {"arguments": part}} for i in (0, 1) for part in ('{"city": ', '"<b>Rome</b>"}')]
    page.script(delta(role="assistant"), *[delta(tool_calls=[part]) for part in (*calls, *more)], delta(finish="tool_calls"))
    answer = page.ask("Weather?")
    assert page.bodies[-1]["tool_choice"] == "required" and page.bodies[-1]["tools"][0]["function"]["name"] == "weather"
    assert [json.loads(text) for text in answer.locator(".call pre").all_inner_texts()] == [{"city": "<b>Rome</b>"}] * 2
    page.script(delta("Sunny."), delta(finish="stop"))
    for i, area in enumerate(answer.locator(".results textarea").all()):
        area.fill(f"result {i}")
    answer.locator(".results button").click()
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(2)
    messages = page.bodies[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["content"] is None and messages[1]["tool_calls"][1]["function"]["arguments"] == '{"city": "<b>Rome</b>"}'
    assert messages[3] == {"role": "tool", "tool_call_id": "call_1", "content": "result 1"}


def test_what_breaks_is_said_and_can_be_tried_again(open_page):
    page = open_page()
    page.script(delta("half"), {"error": {"message": "the <i>group</i> is gone", "code": "no_capacity"}}, done=False)
    answer = page.ask("One")
    expect(answer.locator(".failure")).to_contain_text("the <i>group</i> is gone")
    expect(answer.locator(".failure")).to_contain_text("request scripted")
    page.script(delta("half of "), done=False)
    answer.locator("text=Retry").click()
    expect(page.tab.locator(".failure")).to_contain_text("connection was lost")
    page.unscript()
    page.set(max_tokens=5)
    page.tab.locator(".failure >> text=Retry").click()
    expect(page.tab.locator(".failure")).to_have_count(0)
    expect(page.tab.locator(".turn.assistant .siblings")).to_have_text("3/3")
    page.set(max_tokens=999_999)
    answer = page.ask("More than fits")
    expect(answer.locator(".failure")).to_contain_text("context")
    page.set(temperature=9)
    page.send("Not asked")
    expect(page.tab.locator("#notice")).to_contain_text("temperature: a number from 0 to 2")


def test_a_reload_in_the_middle_keeps_what_came(open_page):
    page = open_page()
    page.set(**{"reasoning_effort": "none", "max_tokens": 100_000, "ignore_eos": "on"})
    page.send("Go on for long")
    expect(page.tab.locator('.turn.assistant[aria-busy="true"] > .prose')).not_to_be_empty()
    page.tab.reload()
    answer = page.tab.locator('.turn.assistant[aria-busy="false"]')
    expect(answer.locator(".failure")).to_contain_text(re.compile("The page was left|The connection was lost"))
    expect(answer.locator(":scope > .prose")).not_to_be_empty()


def test_choices_are_branches_and_tokens_show_their_probability(open_page):
    page = open_page()
    page.set(n=2, logprobs="on", top_logprobs=1)
    page.tab.select_option("#set-format", "json_schema")
    page.tab.fill('[aria-label="Schema"]', '{"type": "object"}')
    logprobs = {"content": [{"token": "<b>", "logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -2}]}]}
    first, second = delta("<b>"), delta("other", index=1)
    first["choices"][0]["logprobs"] = logprobs
    page.script(first, second, delta(finish="stop"), delta(finish="length", index=1))
    page.send("Twice")
    expect(page.tab.locator(".turn.assistant .siblings")).to_have_text("1/2")
    assert page.bodies[-1]["response_format"]["json_schema"] == {"name": "answer", "schema": {"type": "object"}, "strict": True}
    assert [page.bodies[-1][name] for name in ("n", "logprobs", "top_logprobs")] == [2, True, 1]
    answer = page.tab.locator(".turn.assistant")
    numbers_of(answer)
    assert answer.locator(".tokens span").get_attribute("title") == '60.7 %\n"x" 13.5 %'
    page.tab.locator('[aria-label="The next branch"]').click()
    expect(page.tab.locator(".turn.assistant > .prose")).to_have_text("other")


HOSTILE = """# <script>window.hacked = 1</script>
<img src=x onerror="window.hacked = 2"> [a](javascript:window.hacked=3) [b](data:text/html,x) ![i](http://evil.example/i.png)
[c](http://evil.example/"onmouseover="window.hacked=4) <a href="javascript:1">x</a> <http://evil.example/x>
| <b>t</b> | [d](JaVaScRiPt:1) |
|---|---|
| <svg onload=window.hacked=5> | `<iframe>` |

```html "><script>window.hacked=6</script>
<script>window.hacked = 7</script>
"""


def test_hostile_text_stays_text(open_page):
    page = open_page()
    page.script(delta(reasoning_content=HOSTILE), delta(HOSTILE), delta(finish="stop"))
    answer = page.ask("<img src=x onerror='window.hacked=8'>")
    assert answer.locator("script, img, svg:not(.icon), iframe, b").count() == 0
    links = answer.locator(".prose a")
    assert links.count() > 0
    for link in links.all():
        assert link.get_attribute("href").startswith("http://evil.example/")
        assert "noopener" in link.get_attribute("rel")
    page.tab.locator("#sidebar .go >> nth=0").wait_for()
    page.tab.locator('#sidebar [aria-label^="More"]').click()
    page.tab.click("text=Rename")
    page.tab.fill('[aria-label="Title"]', "<img src=x onerror='window.hacked=9'>")
    page.tab.press('[aria-label="Title"]', "Enter")
    expect(page.tab.locator("#sidebar .go")).to_contain_text("<img src=x")
    page.tab.reload()
    expect(page.tab.locator(".turn.assistant")).to_have_count(1)
    assert page.tab.evaluate("window.hacked") is None
    assert page.tab.locator("#sidebar img, .turn img").count() == 0


def test_conversations_are_listed_exported_and_deleted_and_fullness_is_said(open_page):
    page = open_page()
    page.script(delta("An answer with `code`."), delta(finish="stop"))
    page.ask("First")
    page.tab.keyboard.press("Alt+n")
    page.ask("Second")
    assert page.tab.locator("#sidebar .go span").all_inner_texts() == ["Second", "First"]
    for kind, reads in (("JSON", lambda text: str(json.loads(text)["nodes"])), ("Markdown", lambda text: text)):
        page.tab.locator('#sidebar [aria-label^="More"] >> nth=1').click()
        with page.tab.expect_download() as downloaded:
            page.tab.click(f"text=Export as {kind}")
        assert "First" in reads(open(downloaded.value.path()).read())
    page.tab.locator('#sidebar [aria-label^="More"] >> nth=1').click()
    page.tab.click('[role="menuitem"] >> text=Delete')
    page.tab.click("#sidebar button.bad")
    expect(page.tab.locator("#sidebar .go")).to_have_text([re.compile("Second")])
    page.tab.evaluate("localStorage.setItem('quire.conversation.big', 'x'.repeat(4e6))")
    page.ask("Third")
    expect(page.tab.locator("#notice")).to_contain_text("full")
    page.tab.evaluate("localStorage.removeItem('quire.conversation.big')")
    page.ask("Fourth")
    expect(page.tab.locator("#notice")).to_be_hidden()
    # What lies there and is no conversation hurts nobody.
    page.tab.evaluate("localStorage.setItem('quire.conversation.big', '{\"v\":1,\"id\":\"big\",\"nodes\":{\"1\":7}}')")
    page.tab.reload()
    expect(page.tab.locator(".turn.user").first).to_contain_text("Second")


def test_keyboard_and_labels(open_page):
    page = open_page()
    expect(page.tab.locator("#draft")).to_be_focused()
    page.tab.keyboard.type("one")
    page.tab.keyboard.press("Shift+Enter")
    page.tab.keyboard.type("two")
    assert page.tab.input_value("#draft") == "one\ntwo"
    expect(page.tab.locator("#estimate")).to_contain_text(re.compile(r"\d+ of 131,072 tokens.*prompt \$0\.0.*longest answer \$0\.0"))
    page.tab.keyboard.press("Alt+Slash")
    expect(page.tab.locator("dialog")).to_contain_text("Shift")
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("Alt+s")
    expect(page.tab.locator("#drawer")).to_be_visible()
    nameless = page.tab.evaluate("""() => [...document.querySelectorAll('button, input, select, textarea')].filter((one) =>
        !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML)""")
    assert nameless == []
    assert page.tab.locator("main, nav, aside, header").count() == 4
    page.script(delta("Done."), delta(finish="stop"))
    page.ask("Say")
    expect(page.tab.locator("#announcer")).to_contain_text("The answer is there")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_both_colours(open_page, scheme):
    page = open_page(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.script(delta("word " * 30 + "`" + "x" * 300 + "`\n\n```\n" + "y" * 300 + "\n```\n\n|a|b|\n|-|-|\n|" + "z" * 200 + "|c|\n"), delta(finish="stop"))
    page.ask("w" * 300)
    numbers_of(page.tab.locator(".turn.assistant"))

    def widths():
        return page.tab.evaluate("['html', '#scroller', '#composer'].map((s) => document.querySelector(s)).map((e) => e.scrollWidth - e.clientWidth)")
    assert widths() == [0, 0, 0]
    for button in ("#open-sidebar", "#open-drawer"):
        page.tab.click(button)
        assert page.tab.locator(".stage").get_attribute("inert") is not None
        assert widths() == [0, 0, 0]
        page.tab.keyboard.press("Escape")
    assert page.contrast_faults() == []
    page.tab.click("#theme")  # light
    page.tab.click("#theme")  # dark
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 21)"
    assert page.contrast_faults() == []
