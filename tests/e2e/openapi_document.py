"""/openapi.json as tests use it: the schema of an answer or of an event by its name, and real answers held to it."""
import json
import urllib.error
import urllib.request

import jsonschema


class Document:
    def __init__(self, system):
        self.system = system
        with urllib.request.urlopen(f"{system.url}/openapi.json", timeout=60) as reply:  # no key
            self.json = json.loads(reply.read())

    def operations(self):
        """(path, method, operation)."""
        return [(path, method, operation) for path, item in self.json["paths"].items() for method, operation in item.items()]

    def validator(self, schema):
        """Of a schema that may refer to others of the document."""
        return jsonschema.Draft202012Validator({**schema, "components": self.json["components"]})

    def check(self, schema, value):
        errors = list(self.validator(schema).iter_errors(value))
        assert not errors, f"{jsonschema.exceptions.best_match(errors)}\n{json.dumps(value)[:2000]}"

    def send(self, path, body, key=None):
        """(status, headers, bytes)."""
        request = urllib.request.Request(self.system.url + path, None if body is None else json.dumps(body).encode())
        request.add_header("Authorization", f"Bearer {key or self.system.api_key}")
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def ask(self, path, body, at=None):
        """The answer, or the list of events' data, each held to what the document says of `path`. `at`: where it is sent."""
        operation = self.json["paths"][path]["get" if body is None else "post"]
        status, headers, text = self.send(at or path.replace("{model}", self.system.model), body)
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = self.json["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        for name, header in response["headers"].items():
            assert not header["required"] or headers[name], name
        media = headers["content-type"].partition(";")[0]
        content = response["content"][media]
        if media == "text/event-stream":
            data = content["schema"]["properties"]["data"]
            done, data = (True, data["anyOf"][1]) if "anyOf" in data else (False, data)
            said = datas(text.decode())
            assert (said.pop() == "[DONE]") if done else True
            events = [json.loads(event) for event in said]
            for event in events:
                self.check(data["contentSchema"], event)
            return events
        answer = json.loads(text)
        self.check(content["schema"], answer)
        return answer


def datas(stream):
    return [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
