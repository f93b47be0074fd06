"""The model page's settings: what is sent is what the drawer shows, and nothing else."""
import pytest
from playwright.sync_api import expect

from browser import delta
from system import http

pytestmark = pytest.mark.tiny

ALWAYS = {"model", "messages", "stream", "seed"}


def say(page):
    page.script(delta("Said."), delta(finish="stop"))


def of_a_model_without(page_system, page, *capabilities):
    """A second model that has all but these."""
    own = http("GET", f"{page_system.url}/v1/models", page_system.api_key)[1]["data"][0]
    other = {**own, "id": "other", "capabilities": {**own["capabilities"], **dict.fromkeys(capabilities, False)}}
    page.tab.route("**/v1/models", lambda route: route.fulfill(json={"data": [own, other]}))
    page.give_key()
    return own["id"], other["id"]


def asked(page, text="Say"):
    page.ask(text)
    return {name: value for name, value in page.bodies[-1].items() if name not in ALWAYS}


def test_what_a_model_has_no_control_for_is_not_sent(open_page, page_system):
    page = open_page(key=False)
    own, other = of_a_model_without(page_system, page, "reasoning", "tools")
    say(page)
    page.set(reasoning_effort="low", **{"reasoning-exclude": "on", "temperature": "0.5"})
    page.tab.fill('[aria-label="Tools"]', '{"name": "f"}')
    page.tab.select_option("#set-tool-choice", "required")
    assert set(asked(page)) == {"reasoning_effort", "reasoning", "temperature", "tools", "tool_choice"}
    page.tab.select_option("#model", other)
    expect(page.tab.locator("#set-reasoning_effort")).to_have_count(0)
    assert asked(page) == {"temperature": 0.5}
    page.tab.select_option("#model", own)
    assert asked(page)["tool_choice"] == "required"


def test_of_tools_that_are_taken_out_nothing_is_left(open_page):
    page = open_page()
    say(page)
    page.tab.click("#open-drawer")
    tools = page.tab.locator('[aria-label="Tools"]')
    expect(page.tab.locator("#set-tool-choice")).to_be_hidden()
    tools.fill('{"name": "f"}')
    page.tab.select_option("#set-tool-choice", "function:f")
    page.tab.uncheck("text=parallel_tool_calls")
    tools.fill('{"name": "f"')  # while it is being written
    tools.fill('{"name": "f", "description": "x"}')
    assert asked(page)["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    tools.fill('{"name": "g"}')
    expect(page.tab.locator("#set-tool-choice")).to_have_value("auto")
    assert "tool_choice" not in asked(page)
    for none in ("[]", ""):
        tools.fill(none)
        expect(page.tab.locator("#set-tool-choice")).to_be_hidden()
        assert asked(page) == {}


def test_a_schema_that_is_not_shown_is_not_sent(open_page):
    page = open_page()
    say(page)
    page.tab.click("#open-drawer")
    page.tab.select_option("#set-format", "json_schema")
    page.tab.fill('[aria-label="Schema"]', '{"type": "object"}')
    page.tab.select_option("#set-format", "text")
    assert asked(page) == {}


def test_the_second_settings_are_for_what_is_beside_only(open_page):
    page = open_page()
    say(page)
    page.set(n=2)
    page.tab.check("#compare")
    expect(page.tab.locator("#set-n")).to_have_count(0)
    page.set(temperature=0.25)
    page.ask("Beside", answers=2)
    assert all("n" not in body for body in page.bodies)
    assert [body.get("temperature") for body in page.bodies] == [None, 0.25]
    page.tab.uncheck("#compare")
    page.set(n="")
    page.tab.locator(".turn.assistant.aside").locator('[aria-label="Another answer"]').click()
    expect(page.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(1)
    assert "temperature" not in page.bodies[-1]


def test_an_answer_goes_on_by_what_the_drawer_shows(open_page):
    page = open_page()
    page.script(delta("half"), delta(finish="length"))
    page.set(temperature=0.25, max_tokens=5)
    answer = page.ask("Go on")
    page.set(temperature="", max_tokens=7)
    answer.locator('[aria-label="Continue this answer"]').click()
    expect(answer.locator(":scope > .prose")).to_have_text("halfhalf")
    assert {name: value for name, value in page.bodies[-1].items() if name not in ALWAYS} == {"max_tokens": 7}


@pytest.mark.parametrize("typed", ["0,7", "1e", "abc", "0x1"])
def test_a_number_that_is_none_is_seen_and_refused(open_page, typed):
    page = open_page()
    page.set(temperature=typed)
    page.send("Not asked")
    expect(page.tab.locator("#notice")).to_contain_text("temperature: a number from 0 to 2")
    expect(page.tab.locator("#set-temperature")).to_have_value(typed)
    assert page.bodies == []


def test_the_estimate_is_of_all_that_would_be_asked(open_page):
    """Two settings side by side are two prompts and two answers."""
    page = open_page()
    page.tab.route("**/v1/tokenize", lambda route: route.fulfill(json={
        "count": 100 if route.request.post_data_json["messages"][0]["role"] == "system" else 40, "max_model_len": 131072}))
    page.set(max_tokens=10)
    page.tab.fill("#draft", "Say")
    expect(page.tab.locator("#estimate")).to_contain_text("prompt $0.000003with the longest answer $0.0000045")
    page.tab.check("#compare")
    page.set(system="Be short.")
    expect(page.tab.locator("#estimate")).to_contain_text("prompt $0.0000105with the longest answer $0.0000135")
