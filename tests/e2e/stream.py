"""A chat stream read by hand: what the bytes on the wire are, which an SDK would hide."""
import http.client
import json
import urllib.error
import urllib.parse

from system import until


# A request that is sent to one who has just ended: which of these comes, depends on how far it was.
NOBODY_TOOK_IT = (ConnectionRefusedError, ConnectionResetError, BrokenPipeError)


def retried(ask, limit=300):
    """As the SDKs do: a request that nobody took, or that was answered 503, is sent again. `ask` gives a Stream, or the status
    first."""
    def taken():
        try:
            answer = ask()
            return None if (answer.status if isinstance(answer, Stream) else answer[0]) == 503 else answer
        except NOBODY_TOOK_IT:
            return None
        except urllib.error.URLError as error:
            if not isinstance(error.reason, NOBODY_TOOK_IT):
                raise
    return until("an answer that is no 503", taken, limit)


class Stream:
    """POSTs a streamed chat request; iterate over the SSE payloads (decoded JSON, or the string [DONE])."""

    def __init__(self, system, content, key=None, **fields):
        target = urllib.parse.urlparse(system.url)
        self.connection = http.client.HTTPConnection(target.hostname, target.port, timeout=300)
        body = {"model": system.model, "messages": [{"role": "user", "content": content}], "stream": True, **fields}
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body),
                                {"Authorization": f"Bearer {key or system.api_key}", "Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def __iter__(self):
        for line in self.response:
            line = line.decode().rstrip("\r\n")
            if line.startswith("data: "):
                payload = line[len("data: "):]
                yield payload if payload == "[DONE]" else json.loads(payload)
            else:
                assert line == "" or line.startswith(":"), line

    def close(self):
        self.response.close()
        self.connection.close()


class Outcome:
    """What a finished stream consisted of."""

    def __init__(self, payloads):
        self.text, self.finish_reason, self.usage, self.error, self.terminals, self.done = "", None, None, None, 0, 0
        for payload in payloads:
            assert not self.done, f"after [DONE]: {payload}"
            if payload == "[DONE]":
                self.done += 1
            elif "error" in payload:
                self.error = payload["error"]
                self.terminals += 1
            else:
                self._take_chunk(payload)

    def _take_chunk(self, chunk):
        assert chunk["object"] == "chat.completion.chunk"
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            assert not self.terminals, f"a chunk after the terminal frame: {chunk}"
            self.text += choice["delta"].get("content") or ""
            if choice["finish_reason"]:
                self.finish_reason = choice["finish_reason"]
                self.terminals += 1
