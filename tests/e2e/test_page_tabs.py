"""The model page in two tabs of one browser, on the same conversation: what one writes the other shows, and nothing of either
is lost."""
import json

import pytest
from playwright.sync_api import expect

from browser import delta
from system import until

pytestmark = pytest.mark.tiny


def say(page, text):
    page.script(delta(text), delta(finish="stop"))


def test_what_each_of_two_tabs_asks_is_kept_and_shown_in_both(open_page):
    first = open_page()
    say(first, "answer 0")
    first.ask("question 0")
    second = first.another_tab()
    expect(second.tab.locator(".turn.assistant > .prose")).to_have_text("answer 0")
    say(second, "answer 2")
    second.ask("question 2")
    expect(first.tab.locator(".turn.assistant > .prose")).to_have_text(["answer 0", "answer 2"])
    say(first, "answer 1")
    first.ask("question 1")
    expect(second.tab.locator(".turn.assistant > .prose")).to_have_text(["answer 0", "answer 2", "answer 1"])
    assert second.contents() == first.contents() == sorted(f"{kind} {i}" for kind in ("question", "answer") for i in range(3))
    first.tab.reload()
    expect(first.tab.locator(".turn.assistant > .prose")).to_have_text(["answer 0", "answer 2", "answer 1"])


def test_a_tab_beside_an_answer_that_streams_cuts_nothing(open_page):
    first = open_page()
    first.set(reasoning_effort="none", max_tokens=100_000, ignore_eos="on")
    first.send("Go on for long")
    running = first.tab.locator('.turn.assistant[aria-busy="true"] > .prose')
    expect(running).not_to_be_empty()
    second = first.another_tab()
    say(second, "beside it")
    second.send("Something else")
    expect(second.tab.locator(".turn.assistant > .prose").last).to_have_text("beside it")
    expect(first.tab.locator(".turn.assistant > .prose").last).to_have_text("beside it")
    expect(first.tab.locator('.turn.assistant[aria-busy="true"]')).to_have_count(1)
    first.tab.keyboard.press("Escape")
    stopped = first.tab.locator('.turn.assistant:has(.numbers:has-text("stopped by you"))')
    expect(stopped).to_have_count(1)
    html = stopped.locator(":scope > .prose").inner_html()  # of texts a matcher would leave some blanks out
    until("both show the same", lambda: second.tab.locator(".turn.assistant > .prose").first.inner_html() == html)
    expect(second.tab.locator(".turn.assistant .failure")).to_have_count(0)
    nodes = first.stored()["nodes"].values()
    assert sorted(node["role"] for node in nodes) == ["assistant", "assistant", "user", "user"]
    assert "beside it" in first.contents() and [node.get("finish") for node in nodes if node["role"] == "assistant"] == ["stopped", "stop"]


def test_a_title_and_settings_of_one_tab_outlive_the_other(open_page):
    first = open_page()
    say(first, "one")
    first.ask("First")
    second = first.another_tab()
    second.tab.locator('#sidebar [aria-label^="More"]').click()
    second.tab.click("text=Rename")
    second.tab.fill('[aria-label="Title"]', "A title")
    second.tab.press('[aria-label="Title"]', "Enter")
    expect(first.tab.locator("#sidebar .go span")).to_have_text(["A title"])
    second.set(temperature="0.5")
    first.tab.click("#open-drawer")
    expect(first.tab.locator("#set-temperature")).to_have_value("0.5")
    first.ask("Again")
    assert first.bodies[-1]["temperature"] == 0.5
    assert first.stored()["title"] == "A title"


def test_a_conversation_that_another_tab_deletes_does_not_come_back(open_page):
    first = open_page()
    say(first, "one")
    first.ask("First")
    second = first.another_tab()
    second.tab.locator('#sidebar [aria-label^="More"]').click()
    second.tab.click('[role="menuitem"] >> text=Delete')
    second.tab.click("#sidebar button.bad")
    expect(first.tab.locator(".turn")).to_have_count(0)
    expect(first.tab.locator("#sidebar .go")).to_have_count(0)
    say(first, "two")
    first.ask("Second")
    expect(second.tab.locator("#sidebar .go span")).to_have_text(["Second"])


def test_each_tab_opens_its_own_conversation_again(open_page):
    first = open_page()
    say(first, "one")
    first.ask("First")
    second = first.another_tab()
    first.tab.keyboard.press("Alt+n")
    say(second, "two")
    second.ask("Second")
    first.tab.reload()
    expect(first.tab.locator(".badges")).to_be_visible()
    expect(first.tab.locator(".turn")).to_have_count(0)
    second.tab.reload()
    expect(second.tab.locator(".turn.user").last).to_contain_text("Second")


def test_a_message_that_is_being_edited_stays_while_another_tab_writes(open_page):
    first = open_page()
    say(first, "one")
    first.ask("First")
    first.tab.locator('.turn.user [aria-label^="Edit"]').click()
    first.tab.fill(".editor textarea", "half written")
    second = first.another_tab()
    say(second, "two")
    second.ask("Second")
    expect(first.tab.locator(".turn.assistant > .prose")).to_have_text(["one", "two"])
    expect(first.tab.locator(".editor textarea")).to_have_value("half written")
    expect(first.tab.locator(".editor textarea")).to_be_focused()


def test_nothing_that_any_of_three_tabs_wrote_is_lost(open_page):
    """Three objects of one conversation, as three tabs have them, and a browser that gives a tab what was stored a moment ago:
    random turns, answers that grow, and saves. At the end all have all."""
    found = open_page(key=False).run("""
        const { loadConversation, saveConversation, syncConversation } = await load('store.js');
        const { addNode, newConversation } = await load('conversation.js');
        let state = argument;
        const random = (n) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % n; };
        const origin = newConversation('m');
        addNode(origin, 0, { role: 'user', content: 'begin' });
        saveConversation(origin);
        const key = `quire.conversation.${origin.id}`;
        const tabs = [0, 1, 2].map(() => ({ conversation: loadConversation(origin.id), running: null }));
        const wrote = new Map();
        const runningIn = ({ running }) => new Set(running ? [running.id] : []);
        const steps = [
          (tab, i) => { const ids = Object.keys(tab.conversation.nodes); const parent = Number(ids[random(ids.length)]);
            const node = addNode(tab.conversation, parent, { role: 'user', content: `turn ${i}` }); wrote.set(node.id, node.content); },
          (tab, i) => { if (tab.running) return; tab.running = addNode(tab.conversation, Number(Object.keys(tab.conversation.nodes)[0]),
            { role: 'assistant', content: '', reasoning: '', state: 'running', rev: 0, runs: [{ params: {}, system: '' }] }); },
          (tab, i) => { if (!tab.running) return; tab.running.content += `${i} `; tab.running.rev += 1; wrote.set(tab.running.id, tab.running.content); },
          (tab) => { if (!tab.running) return; tab.running.state = 'ended'; tab.running.rev += 1; tab.running = null; },
          (tab) => { saveConversation(tab.conversation, runningIn(tab)); },
          (tab) => { const late = localStorage.getItem(key); saveConversation(tab.conversation, runningIn(tab));
            if (random(3) === 0) localStorage.setItem(key, late); },  // another tab had not seen it, and wrote
          (tab) => { if (syncConversation(tab.conversation, runningIn(tab))?.ahead) saveConversation(tab.conversation, runningIn(tab)); },
        ];
        for (let i = 0; i < 1500; ++i) steps[random(steps.length)](tabs[random(3)], i);
        for (const tab of tabs) if (tab.running) Object.assign(tab.running, { state: 'ended', rev: tab.running.rev + 1 });
        for (let round = 0; round < 3; ++round) for (const { conversation } of tabs) saveConversation(conversation);
        for (const { conversation } of tabs) syncConversation(conversation);
        const stored = JSON.parse(localStorage.getItem(key)).nodes;
        const lost = [...wrote].filter(([id, content]) => stored[id]?.content !== content);
        const differ = tabs.filter(({ conversation }) => JSON.stringify(conversation.nodes) !== JSON.stringify(tabs[0].conversation.nodes)
          && Object.keys(conversation.nodes).length !== Object.keys(tabs[0].conversation.nodes).length);
        return { lost, differ: differ.length, wrote: wrote.size, stored: Object.keys(stored).length };""", 11)
    assert found["lost"] == [] and found["differ"] == 0, json.dumps(found)
    assert found["wrote"] > 200


def test_what_both_have_changed_becomes_two_branches(open_page):
    found = open_page(key=False).run("""
        const { mergeInto } = await load('merge.js');
        const { addNode, newConversation } = await load('conversation.js');
        const base = newConversation('m');
        const question = addNode(base, 0, { role: 'user', content: 'q' });
        const answer = addNode(base, question.id, { role: 'assistant', content: 'half', rev: 1 });
        const mine = structuredClone(base), stored = structuredClone(base);
        Object.assign(mine.nodes[answer.id], { content: 'half here', rev: 2 });
        Object.assign(stored.nodes[answer.id], { content: 'half there', rev: 2 });
        const kept = mine.nodes[answer.id];
        const said = mergeInto(mine, [base], stored, new Set());
        return { said, same: kept === mine.nodes[answer.id], children: Object.values(mine.nodes).map(({ parent, content }) => [parent === question.id, content]) };""")
    assert found == {"said": {"nodes": True, "settings": False, "ahead": True}, "same": True,
                     "children": [[False, "q"], [True, "half here"], [True, "half there"]]}
