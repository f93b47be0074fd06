"""Credits and reversals beside real requests: a prepaid account spends what it has, to the last unit."""
import concurrent.futures

import pytest

COST = 20 * 150  # of each answer; the prompts' comes on top


@pytest.fixture(scope="module")
def prepaid(qwq):
    made = qwq.create_key(name="prepaid", account="prepaid", cap_usd="0")
    qwq.wait_for_key(made["key"])
    return made["key"]


def ask(system, key, content="Go"):
    return system.chat(content, key=key, max_tokens=20, ignore_eos=True)


def posted(system):
    accounts = system.admin("GET", "usage?account=prepaid")[1]["accounts"]
    return accounts[0]["posted"]["nano_usd"]


def test_a_credit_is_spent_to_the_last_unit_by_many_at_once(qwq, prepaid):
    assert ask(qwq, prepaid)[0] == 402
    credit = {"account": "prepaid", "amount_nano_usd": 12 * COST, "reference": "payment 1"}
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda _: qwq.admin("POST", "credits", credit), range(8)))
    assert all(one == said[0] for one in said) and said[0][0] == 200
    assert posted(qwq) == -12 * COST
    with concurrent.futures.ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda i: ask(qwq, prepaid, f"Go {i}"), range(40)))
    assert {status for status, _ in answers} == {200, 402}
    read = sum(round(body["usage"]["estimated_cost"] * 1e9) for status, body in answers if status == 200)
    qwq.wait_for_settles()
    assert posted(qwq) == read - 12 * COST <= 0


def test_what_is_taken_back_can_be_spent_again(qwq, prepaid):
    assert qwq.admin("POST", "credits", {"account": "prepaid", "amount_nano_usd": 8000, "reference": "payment 2"})[0] == 200
    status, answer = ask(qwq, prepaid)
    assert status == 200
    qwq.wait_for_settles()
    before = posted(qwq)
    for _ in range(2):  # the second time it stands already
        status, entry = qwq.admin("POST", "reversals", {"entry": answer["id"], "note": "our fault"})
        assert status == 200 and answer["id"].endswith(entry["reverses"])
        assert entry["amount"]["nano_usd"] == -round(answer["usage"]["estimated_cost"] * 1e9)
    assert posted(qwq) == before + entry["amount"]["nano_usd"]
    kinds = [entry["kind"] for entry in qwq.admin("GET", "entries?account=prepaid&limit=1000")[1]["data"]]
    assert kinds[0] == "credit" and kinds.count("reversal") == 1
    assert qwq.admin("GET", "audit")[1]["findings"] == []
