"""What the tests here wait with: each has a limit, and nobody guesses."""
import ast
import pathlib
import subprocess
import sys
import urllib.error

import pytest

from stream import retried
from system import System, until

HERE = pathlib.Path(__file__).parent


class Program(System):
    """What is heard of any program as of `quire serve`."""

    def __init__(self, *command):
        self.listen_to(*command)


def test_what_never_comes_ends_a_wait():
    with pytest.raises(AssertionError, match="there was not: a miracle"):
        until("a miracle", lambda: False, limit=0)
    with pytest.raises(AssertionError, match="no 503"):
        retried(lambda: (503, "for ever"), limit=0)


@pytest.mark.parametrize("error", [ConnectionRefusedError, ConnectionResetError, BrokenPipeError])
def test_what_nobody_took_is_sent_again(error):
    answers = [error(), urllib.error.URLError(error()), (503, "not yet"), (200, "taken")]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
    assert retried(ask) == (200, "taken") and not answers
    with pytest.raises(urllib.error.URLError, match="elsewhere"):
        answers.append(urllib.error.URLError("elsewhere"))
        retried(ask)


def test_words_that_never_come_end_a_wait():
    program = Program(sys.executable, "-uc", "print('here'); import signal; signal.pause()")
    try:
        program.wait_for_output("here")
        with pytest.raises(AssertionError, match="there was not: 'elsewhere'"):
            program.wait_for_output("elsewhere", limit=0)
    finally:
        program.process.kill()
    with pytest.raises(AssertionError, match="ended without saying 'elsewhere'(?s:.*)here"):
        program.wait_for_output("elsewhere")


def test_the_last_words_of_one_that_ended_are_heard():
    program = Program("sh", "-c", "echo last words")
    program.process.wait(60)
    program.wait_for_output("last words")


def test_a_child_that_has_just_been_reaped_is_none(monkeypatch):
    program = Program("sleep", "300")
    gone = subprocess.Popen(["true"])
    gone.wait(60)
    read_text = pathlib.Path.read_text
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path, *args, **options:
                        f"{gone.pid} " if path.name == "children" else read_text(path, *args, **options))
    with pytest.raises(LookupError):
        program.pid_of("gateway")
    monkeypatch.undo()
    program.process.kill()
    program.process.wait(60)
    with pytest.raises(LookupError):
        program.pid_of("gateway")


def calls(name):
    """(where, the call, its lines) of each call of that name in the files here."""
    for path in sorted(HERE.glob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                yield f"{path.name}:{node.lineno}", node, text.splitlines()[node.lineno - 2:node.end_lineno]


def test_who_sleeps_says_what_is_tested_by_it():
    """Whoever waits does so by `until`, which has a limit, and for a thing, which a sleep only guesses."""
    guesses = [where for where, _, lines in calls("time.sleep") if "what is tested" not in "".join(lines).lower()]
    assert len(guesses) == 1 and guesses[0].startswith("system.py"), guesses


def test_no_program_of_ours_is_waited_for_without_a_limit():
    unlimited = [where for where, call, _ in calls("subprocess.run")
                 if "BIN" in ast.unparse(call) and "timeout" not in {keyword.arg for keyword in call.keywords}]
    unlimited += [where for name in ("process.wait", "self.process.wait", "system.process.wait") for where, call, _ in calls(name)
                  if not call.args and not call.keywords]
    assert not unlimited, unlimited
