// "View code": one request as a program of its own, for this server. Whatever stands in the request is escaped for the
// language that it goes into; the key is read from QUIRE_API_KEY, never written.

import { soundJson } from './format.js';

export function snippets(base, body) {
  const request = JSON.parse(soundJson(body));  // as it was sent
  return [
    { name: 'curl', language: 'sh', text: curl(base, request) },
    { name: 'Python', language: 'python', text: python(base, request) },
    { name: 'JavaScript', language: 'js', text: javascript(base, request) },
    { name: 'gRPC', language: 'python', text: grpc(base, request) },
  ];
}

// Within '...' a shell reads everything as it is; NUL can't stand in an argument, and JSON has escaped it.
export const shellQuoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

const MOST_OF_AN_ARGUMENT = 100000;  // bytes; Linux takes 128 KiB

function curl(base, body) {
  const json = JSON.stringify(body, null, 2);
  const isLong = new TextEncoder().encode(json).length > MOST_OF_AN_ARGUMENT;
  const data = isLong ? `--data-binary @- <<'END'\n${json}\nEND` : `-d ${shellQuoted(json)}`;
  return `curl -N ${shellQuoted(`${base}/v1/chat/completions`)} \\
  -H "Authorization: Bearer $QUIRE_API_KEY" \\
  -H 'Content-Type: application/json' \\
  ${data}
`;
}

// A literal of Python: JSON's strings are Python's, its words are not.
export function pythonLiteral(value, indent = '') {
  const deeper = `${indent}    `;
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return JSON.stringify(value).replaceAll('\u007f', '\\x7f');
  if (typeof value !== 'object') return String(value);
  const entries = Array.isArray(value)
    ? value.map((item) => pythonLiteral(item, deeper))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonLiteral(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const flat = `${open}${entries.join(', ')}${close}`;
  if (flat.length <= 90 && !flat.includes('\n')) return flat;
  return `${open}\n${entries.map((entry) => `${deeper}${entry},\n`).join('')}${indent}${close}`;
}

// What the SDK's create() has by name; the rest goes as extra_body.
const SDK = new Set(['model', 'messages', 'stream', 'temperature', 'top_p', 'presence_penalty', 'frequency_penalty', 'seed',
  'max_tokens', 'stop', 'n', 'logprobs', 'top_logprobs', 'logit_bias', 'reasoning_effort', 'response_format', 'tools',
  'tool_choice', 'parallel_tool_calls']);

function python(base, body) {
  const extra = Object.entries(body).filter(([name]) => !SDK.has(name) || isExtension(name, body));
  const named = Object.entries(body).filter(([name]) => SDK.has(name) && !isExtension(name, body));
  const lines = named.map(([name, value]) => `    ${name}=${pythonLiteral(value, '    ')},\n`);
  if (extra.length > 0) lines.push(`    extra_body=${pythonLiteral(Object.fromEntries(extra), '    ')},\n`);
  return `import os

import openai

client = openai.OpenAI(base_url=${JSON.stringify(`${base}/v1`)}, api_key=os.environ["QUIRE_API_KEY"])
stream = client.chat.completions.create(
${lines.join('')})
for chunk in stream:
    for choice in chunk.choices:
        print(getattr(choice.delta, "reasoning_content", None) or choice.delta.content or "", end="", flush=True)
        for call in choice.delta.tool_calls or []:
            print(call.function.name or "", call.function.arguments or "", end="")
    if chunk.usage:
        print("\\n", chunk.usage)
`;
}

// Formats that OpenAI's have no word for.
const isExtension = (name, body) => name === 'response_format' && ['regex', 'grammar'].includes(body.response_format.type);

// JSON, but for the one name that says something else in a literal. (Within a string its quotes would be escaped.) U+2028
// and U+2029 end no line within a string since ES2019.
const javascriptLiteral = (value) => JSON.stringify(value, null, 2).replaceAll('"__proto__":', '["__proto__"]:').replaceAll('\n', '\n  ');

function javascript(base, body) {
  return `const reply = await fetch(${JSON.stringify(`${base}/v1/chat/completions`)}, {
  method: 'POST',
  headers: { Authorization: \`Bearer \${process.env.QUIRE_API_KEY}\`, 'Content-Type': 'application/json' },
  body: JSON.stringify(${javascriptLiteral(body)}),
});
if (!reply.ok) throw new Error(await reply.text());
let rest = '';
for await (const bytes of reply.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + bytes).split('\\n');
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith('data: ') || line === 'data: [DONE]') continue;
    const chunk = JSON.parse(line.slice(6));
    if (chunk.error) throw new Error(chunk.error.message);
    const delta = chunk.choices[0]?.delta ?? {};
    process.stdout.write(delta.reasoning_content || delta.content || '');
    for (const call of delta.tool_calls ?? []) process.stdout.write((call.function.name ?? '') + (call.function.arguments ?? ''));
  }
}
`;
}

// As proto/chat.proto types them.
export function grpcRequest(body) {
  const { reasoning, reasoning_effort: effort, response_format: format, tools, tool_choice: choice, messages, stream, ...plain } = body;
  return {
    ...plain,
    messages: messages.map(grpcMessage),
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
    ...(reasoning?.max_tokens === undefined ? {} : { reasoning_max_tokens: reasoning.max_tokens }),
    ...(reasoning?.exclude === undefined ? {} : { exclude_reasoning: reasoning.exclude }),
    ...(format === undefined ? {} : { response_format: grpcFormat(format) }),
    ...(tools === undefined ? {} : { tools: tools.map(grpcTool) }),
    ...(choice === undefined ? {} : { tool_choice: typeof choice === 'string' ? { mode: choice } : { function: choice.function.name } }),
  };
}

function grpcMessage({ content, tool_calls: calls, ...message }) {
  return {
    ...message,
    ...(content === null || content === undefined ? {} : { content }),
    ...(calls ? { tool_calls: calls.map((call) => ({ id: call.id, name: call.function.name, arguments_json: call.function.arguments })) } : {}),
  };
}

function grpcFormat({ json_schema: schema, ...format }) {
  if (!schema) return format;
  const { schema: tree, ...rest } = schema;
  return { ...format, json_schema: { ...rest, schema_json: JSON.stringify(tree) } };
}

function grpcTool({ function: { parameters, ...tool } }) {
  return { ...tool, ...(parameters === undefined ? {} : { parameters_json: JSON.stringify(parameters) }) };
}

function grpc(base, body) {
  const host = new URL(base).hostname;
  return `# Needs grpcio and grpcio-tools, and proto/chat.proto of the server's repository in this folder or in sys.path;
# the port is the gateway's --grpc-port.
import os

import grpc
from google.protobuf import json_format

messages, services = grpc.protos_and_services("proto/chat.proto")
request = json_format.ParseDict(${pythonLiteral(grpcRequest(body))}, messages.ChatRequest())
key = [("authorization", "Bearer " + os.environ["QUIRE_API_KEY"])]
with grpc.insecure_channel(os.environ.get("QUIRE_GRPC", ${JSON.stringify(`${host}:8002`)})) as channel:
    for chunk in services.ChatStub(channel).ChatStream(request, metadata=key, timeout=600):
        print(chunk.reasoning_content or chunk.content, end="", flush=True)
        if chunk.HasField("tool_call"):
            print(chunk.tool_call.name, chunk.tool_call.arguments_json, end="")
        if chunk.HasField("usage"):
            print("\\n", chunk.usage)
`;
}
