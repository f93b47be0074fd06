"""A browser on the model page: what a test does there by hand, and what must never happen on any page."""
import contextlib
import json
import shutil
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

WAIT_MS = 60_000  # for what never comes


@contextlib.contextmanager
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """One browser's profile, with the page open. `faults` is what may not be: errors of scripts, what the policy
    forbade, requests to other hosts."""

    def __init__(self, browser, system, beside=None, **options):
        self.system = system
        self.faults, self.bodies = beside.faults if beside else [], []
        self.context = beside.context if beside else browser.new_context(**options)
        self.context.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        self.tab = self.context.new_page()
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.tab.on("request", self._note)
        self.tab.goto(f"{system.url}/")

    def another_tab(self):
        """Of the same profile, on what this one has open, with the key given."""
        page = Page(None, self.system, beside=self)
        page.give_key()
        return page

    def _hear(self, message):
        # A browser tells of every reply of 400 and more, which some tests ask for.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"{message.type}: {message.text}")

    def _note(self, request):
        if urlsplit(request.url).netloc not in (urlsplit(self.system.url).netloc, ""):
            self.faults.append(f"a request to {request.url}")
        if request.url.endswith("/v1/chat/completions"):
            self.bodies.append(json.loads(request.post_data))

    def give_key(self, remember=False):
        self.tab.fill("#key", self.system.api_key)
        if remember:
            self.tab.check("#remember")
        self.tab.press("#key", "Enter")
        expect(self.tab.locator(".badges")).to_be_visible()

    def set(self, **values):
        """Parameters of the drawer."""
        if "closed" in self.tab.locator("#drawer").get_attribute("class"):
            self.tab.click("#open-drawer")
        for name, value in values.items():
            field = self.tab.locator(f"#set-{name}")
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(str(value))

    def send(self, text):
        self.tab.fill("#draft", text)
        self.tab.press("#draft", "Enter")

    def ask(self, text, answers=1):
        """Sends it and waits for the end of its answers, which it gives."""
        before = self.tab.locator(".turn.assistant").count()
        self.send(text)
        expect(self.tab.locator('.turn.assistant[aria-busy="false"]')).to_have_count(before + answers)
        return self.tab.locator(".turn.assistant").nth(before)

    def stored(self):
        """The conversation that is shown, as the browser keeps it."""
        return json.loads(self.tab.evaluate("localStorage.getItem('quire.conversation.' + sessionStorage.getItem('quire.conversation'))"))

    def contents(self):
        """What all turns of it say."""
        return sorted(node["content"] for node in self.stored()["nodes"].values())

    def last_node(self):
        nodes = self.stored()["nodes"]
        return nodes[max(nodes, key=int)]

    def script(self, *events, done=True):
        """What the server streams to the next requests, in place of its own answer."""
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if done else "")
        self.tab.route("**/v1/chat/completions", lambda route: route.fulfill(
            status=200, content_type="text/event-stream", headers={"x-request-id": "scripted"}, body=body))

    def unscript(self):
        self.tab.unroute("**/v1/chat/completions")

    def contrast_faults(self):
        """Texts on the page that stand out from their ground by less than 4.5 (WCAG AA), as pale as they are drawn."""
        return self.tab.evaluate("""() => {
          const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const up = (one) => (one ? [one, ...up(one.parentElement)] : []);
          const ground = (one) => up(one).map((at) => numbers(getComputedStyle(at).backgroundColor)).find((c) => c.length < 4 || c[3] > 0.99) ?? [255, 255, 255];
          const drawn = (one, under) => { const opaque = up(one).reduce((all, at) => all * Number(getComputedStyle(at).opacity), 1);
            return numbers(getComputedStyle(one).color).slice(0, 3).map((c, i) => opaque * c + (1 - opaque) * under[i]); };
          const texts = [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && !one.closest(':disabled, .offscreen, .skip')
            && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
          return texts.map((one) => { const under = ground(one), a = light(drawn(one, under)), b = light(under);
            return [one.className || one.tagName, one.textContent.slice(0, 20), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; })
            .filter(([, , ratio]) => ratio < 4.5);
        }""")

    def run(self, code, argument=None):
        """A function of the page's own modules: code is `async ({module: path...}) => ...`'s body, with load(name)."""
        return self.tab.evaluate("async (argument) => { const load = (name) => import(new URL(`page/${name}`, document.baseURI).href);"
                                 + code + "}", argument)


def delta(content=None, finish=None, index=0, **more):
    fields = {**({} if content is None else {"content": content}), **more}
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}
