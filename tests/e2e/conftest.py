import contextlib

import pytest

from fiber_gpus import copy_programs
from generated import tiny_qwq
from system import DEMO_MODEL, TINY_MODEL, System


@pytest.fixture(scope="session", params=["demo", pytest.param("tiny", marks=pytest.mark.tiny)])
def system(request):
    """One group of two ranks."""
    model = DEMO_MODEL if request.param == "demo" else TINY_MODEL
    with System(model, tensor_parallel=2) as running:
        yield running


@pytest.fixture(scope="session")
def qwq(tmp_path_factory):
    """A tiny random model with QwQ's template and tags: it reasons, and has tools. Over gRPC, too."""
    with System(tiny_qwq(tmp_path_factory.mktemp("qwq")), grpc_port=0) as running:
        yield running


@pytest.fixture
def programs(tmp_path):
    """A folder of them, for what a test puts beside them."""
    return copy_programs(tmp_path / "bin")


@pytest.fixture(scope="session")
def bereaved():
    """An installation whose gateway died amid requests, and has been started again."""
    from test_ledger_faults import Installation
    with Installation(reap_after=120) as quire:  # the least that is allowed
        lasting, _ = quire.stop_gateway_amid_requests(lambda: quire.chat("Go on", max_tokens=200, ignore_eos=True))
        quire.gateway.kill()
        quire.gateway.wait(60)
        lasting.close()
        assert quire.open_requests() > 0 and quire.held() > 0
        quire.start_gateway()
        yield quire


@pytest.fixture(scope="session", autouse=True)
def first_what_takes_long(request):
    """Reaping takes two minutes of doing nothing: other tests run meanwhile. (Of processes of pytest side by side each has
    one: which of them gets the test shows only when it does.)"""
    if any("bereaved" in item.fixturenames for item in request.session.items):
        with contextlib.suppress(Exception):  # the test that needs it gets the same one again
            request.getfixturevalue("bereaved")


@pytest.fixture(scope="session")
def page_system(tmp_path_factory):
    """What the model page's tests look at: a tiny model that reasons."""
    from generated import tiny_qwq
    with System(tiny_qwq(tmp_path_factory.mktemp("page"), context=131072), grpc_port=0) as running:
        yield running


@pytest.fixture(scope="module")  # while it lives, this thread has a loop of its own, and other files' asyncio.run none
def chromium_browser():
    from browser import chromium
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(page_system, chromium_browser):
    """Opens the model page in a profile of its own, with the key given. Nothing may go wrong there unseen."""
    from browser import Page
    pages = []

    def make(key=True, **options):
        pages.append(Page(chromium_browser, page_system, **options))
        if key:
            pages[-1].give_key()
        else:  # it has asked the server by now: what a test puts in its place later is for who has a key
            pages[-1].tab.wait_for_selector("#key")
        return pages[-1]
    yield make
    for page in pages:
        page.context.close()
        assert not page.faults
