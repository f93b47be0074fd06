// A conversation is a tree: an edit or a new answer is a sibling of what it replaces, and `active` says which child is
// shown below each node. Plain objects, as they are stored; nothing here draws or asks anything.

export const ROOT = 0;

export function newConversation(model) {
  const now = Date.now();
  return {
    v: 1, id: crypto.getRandomValues(new Uint32Array(3)).reduce((text, n) => text + n.toString(36), ''),
    title: '', model, created: now, updated: now, compare: false, settings: [emptySettings(), emptySettings()],
    last: 0, nodes: {}, active: {}, removed: {},
  };
}

// Larger than every id before it, and another one than any that another tab gives meanwhile: the time, and chance.
export function nextId(conversation) {
  const chance = crypto.getRandomValues(new Uint32Array(1))[0] % 2048;
  return Math.max(conversation.last + 1 + chance, Date.now() * 2048 + chance);
}

export function emptySettings() {
  return { system: '', values: {}, format: { type: 'text' }, tools: '', toolChoice: 'auto' };
}

// Becomes the one that is shown.
export function addNode(conversation, parent, fields) {
  const id = nextId(conversation);
  conversation.last = id;
  conversation.nodes[id] = { id, parent, at: Date.now(), ...fields };
  conversation.active[parent] = id;
  conversation.updated = Date.now();
  return conversation.nodes[id];
}

export function childrenOf(conversation, parent) {
  return Object.values(conversation.nodes).filter((node) => node.parent === parent).sort((a, b) => a.id - b.id);
}

export const siblingsOf = (conversation, node) => childrenOf(conversation, node.parent);

export function activate(conversation, node) {
  conversation.active[node.parent] = node.id;
}

// What is shown, from the first message on.
export function shownPath(conversation) {
  const byParent = new Map();
  for (const node of Object.values(conversation.nodes)) {
    if (!byParent.has(node.parent)) byParent.set(node.parent, []);
    byParent.get(node.parent).push(node);
  }
  const path = [];
  for (let parent = ROOT; byParent.has(parent);) {
    const children = byParent.get(parent);
    const node = children.find((child) => child.id === conversation.active[parent]) ?? children.at(-1);
    path.push(node);
    parent = node.id;
  }
  return path;
}

// From the first message to this one, with it.
export function pathTo(conversation, id) {
  const path = [];
  for (let node = conversation.nodes[id]; node; node = conversation.nodes[node.parent]) path.unshift(node);
  return path;
}

// The answer that was asked for beside this one with other settings.
export function pairOf(conversation, node) {
  if (!node.pair) return [node];
  return siblingsOf(conversation, node).filter((other) => other.pair === node.pair);
}

// One that nothing follows. It is remembered: another tab may have it still.
export function removeNode(conversation, id) {
  const { parent } = conversation.nodes[id];
  delete conversation.nodes[id];
  delete conversation.active[id];
  conversation.removed[id] = true;
  if (conversation.active[parent] === id) delete conversation.active[parent];
}

// As a run's result says it: of one that nobody saw the end of.
const UNSEEN = { first_ms: null, total_ms: null, prompt: null, cached: null, completion: null, reasoning: null, cost_nano: null,
  prompt_rate: null, decode_rate: null };

// What a tab that ended left in the middle.
export function mendCut(conversation) {
  for (const node of Object.values(conversation.nodes)) {
    if (node.state !== 'running') continue;
    delete node.queued;
    if (node.runs?.length) node.runs.push({ ...UNSEEN, ...node.runs.pop(), cut: Boolean(node.content || node.reasoning) });
    Object.assign(node, { state: 'ended', finish: 'failed', error: { message: 'The page was left before the answer’s end.', code: 'page_left' } });
  }
}

// Calls whose results have not been given.
export function openCalls(conversation, node) {
  const calls = (node.calls ?? []).filter(isWhole);
  return childrenOf(conversation, node.id).some((child) => child.role === 'tool') ? [] : calls;
}

// One that was cut is no JSON, and can't be given back to the model.
export function isWhole(call) {
  try {
    const value = JSON.parse(call.arguments === '' ? '{}' : call.arguments);
    return value !== null && typeof value === 'object' && !Array.isArray(value);
  } catch {
    return false;
  }
}

export function messageOf(node) {
  if (node.role === 'user') return { role: 'user', content: node.content };
  if (node.role === 'tool') return { role: 'tool', tool_call_id: node.call, content: node.content };
  const calls = (node.calls ?? []).filter(isWhole);
  if (calls.length === 0) return { role: 'assistant', content: node.content };
  return {
    role: 'assistant',
    content: node.content === '' ? null : node.content,
    tool_calls: calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })),
  };
}

// The first words of its first message.
export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = Object.values(conversation.nodes).find((node) => node.role === 'user');
  const words = (first?.content ?? '').trim().replace(/\s+/g, ' ');
  return words === '' ? 'New conversation' : words.length > 60 ? `${words.slice(0, 59)}…` : words;
}

export function asMarkdown(conversation) {
  const parts = [`# ${titleOf(conversation).replace(/\n/g, ' ')}`, `Model: ${conversation.model}`];
  const names = { user: 'User', assistant: 'Assistant', tool: 'Tool result' };
  for (const node of shownPath(conversation)) {
    parts.push(`## ${names[node.role]}`);
    if (node.reasoning) parts.push(node.reasoning.split('\n').map((line) => `> ${line}`).join('\n'));
    if (node.content) parts.push(node.content);
    for (const call of node.calls ?? []) parts.push(fenced(`${call.name}(${call.arguments})`));
  }
  return `${parts.join('\n\n')}\n`;
}

function fenced(text) {
  const longest = (text.match(/`{3,}/g) ?? []).reduce((most, run) => Math.max(most, run.length), 2);
  const fence = '`'.repeat(longest + 1);
  return `${fence}\n${text}\n${fence}`;
}

const isObject = (x) => x !== null && typeof x === 'object' && !Array.isArray(x);

// What a file or another version left may be anything: null where it is no conversation of ours.
export function readConversation(value) {
  if (!isObject(value) || value.v !== 1 || typeof value.id !== 'string' || !isObject(value.nodes)) return null;
  const fresh = newConversation(String(value.model ?? ''));
  const conversation = { ...fresh, ...value, title: String(value.title ?? '') };
  for (const name of ['active', 'removed']) if (!isObject(conversation[name])) conversation[name] = {};
  conversation.settings = [0, 1].map((i) => readSettings(value.settings?.[i]));
  for (const name of ['created', 'updated']) if (!Number.isFinite(conversation[name])) conversation[name] = 0;
  const ids = Object.keys(conversation.nodes).sort((a, b) => a - b);  // each behind its parent
  for (const id of ids) {
    if (isNode(conversation.nodes[id], Number(id), conversation.nodes)) readNode(conversation.nodes[id]);
    else delete conversation.nodes[id];
  }
  conversation.last = Math.max(0, ...Object.keys(conversation.nodes).map(Number));
  return conversation;
}

function isNode(node, id, nodes) {
  if (!isObject(node) || node.id !== id || !Number.isInteger(node.parent) || node.parent >= id) return false;
  return ['user', 'assistant', 'tool'].includes(node.role) && (node.parent === ROOT || nodes[node.parent] !== undefined);
}

// So that whoever shows it finds what is always there.
function readNode(node) {
  node.content = String(node.content ?? '');
  if (node.role !== 'assistant') return;
  node.reasoning = String(node.reasoning ?? '');
  const listOf = (value) => (Array.isArray(value) ? value.filter(isObject) : []);
  node.runs = listOf(node.runs).map((run) => ({ ...run, params: isObject(run.params) ? run.params : {}, system: String(run.system ?? '') }));
  if (node.calls !== undefined) {
    const texts = ({ id, name, arguments: given }) => ({ id: String(id ?? ''), name: String(name ?? ''), arguments: String(given ?? '') });
    node.calls = listOf(node.calls).map(texts);
  }
  if (node.error !== undefined && typeof node.error?.message !== 'string') delete node.error;
}

function readSettings(value) {
  const empty = emptySettings();
  if (!isObject(value)) return empty;
  const format = isObject(value.format) ? { ...value.format } : empty.format;
  for (const name of ['schema', 'regex', 'grammar']) if (format[name] !== undefined) format[name] = String(format[name]);
  return {
    system: String(value.system ?? ''), values: isObject(value.values) ? value.values : {},
    format, tools: String(value.tools ?? ''),
    toolChoice: String(value.toolChoice ?? 'auto'),
  };
}
