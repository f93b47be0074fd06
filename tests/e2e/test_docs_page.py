"""/docs in a browser: the reference of this server's own /openapi.json, whole, with no error of a script, no breach of the policy
and no request to another host."""
import pytest
from playwright.sync_api import expect

from openapi_document import Document

pytestmark = pytest.mark.tiny


@pytest.fixture
def docs(open_page):
    def opened(anchor="", **options):
        page = open_page(key=False, **options)
        page.tab.goto(f"{page.system.url}/docs{anchor}")
        expect(page.tab.locator("section.operation").first).to_be_visible()
        return page
    return opened


def test_every_operation_and_every_schema_has_its_section(docs):
    page = docs()
    document = Document(page.system)
    ids = [operation["operationId"] for _, _, operation in document.operations()]
    assert page.tab.eval_on_selector_all("section.operation", "sections => sections.map(s => s.id)") == ids
    schemas = [f"schema-{name}" for name in document.json["components"]["schemas"]]
    assert page.tab.eval_on_selector_all("section.schema", "sections => sections.map(s => s.id)") == schemas
    for path, _, operation in document.operations():
        section = page.tab.locator(f"#{operation['operationId']}")
        expect(section.locator("h2")).to_contain_text(path)
        assert section.locator(".docs-code pre").inner_text().startswith(f"curl {page.system.url}{path.replace('{model}', 'MODEL')}")
    dangling = page.tab.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))"
                                 ".filter(id => !document.getElementById(id))")
    assert dangling == []
    temperature = page.tab.locator("#schema-ChatRequest tr", has_text="temperature").first
    expect(temperature).to_contain_text("0 to 2")


def test_an_anchor_leads_to_its_section(docs):
    page = docs("#schema-ResponseFormat")
    expect(page.tab.locator("#schema-ResponseFormat")).to_be_in_viewport()
    page.tab.click("#contents a[href='#createMessage']")
    expect(page.tab.locator("#createMessage")).to_be_in_viewport()


def test_it_fits_a_phone(docs):
    page = docs(viewport={"width": 360, "height": 740})
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 360
