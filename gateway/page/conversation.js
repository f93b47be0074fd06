// A conversation is a tree: an edit or a new answer is a sibling of what it replaces, and `active` says which child is
// shown below each node. Plain objects, as they are stored; nothing here draws or asks anything.

export const ROOT = 0;

export function newConversation(model) {
  const now = Date.now();
  return {
    v: 1, id: crypto.getRandomValues(new Uint32Array(3)).reduce((text, n) => text + n.toString(36), ''),
    title: '', model, created: now, updated: now, compare: false, settings: [emptySettings(), emptySettings()],
    last: 0, nodes: {}, active: {},
  };
}

export function emptySettings() {
  return { system: '', values: {}, format: { type: 'text' }, tools: '', toolChoice: 'auto' };
}

// Becomes the one that is shown.
export function addNode(conversation, parent, fields) {
  const id = ++conversation.last;
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

// With all that follows it.
export function removeNode(conversation, id) {
  for (const child of childrenOf(conversation, id)) removeNode(conversation, child.id);
  const { parent } = conversation.nodes[id];
  delete conversation.nodes[id];
  delete conversation.active[id];
  if (conversation.active[parent] === id) delete conversation.active[parent];
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

// What a file or another version left may be anything: null where it is no conversation of ours.
export function readConversation(value) {
  const isObject = (x) => x !== null && typeof x === 'object' && !Array.isArray(x);
  if (!isObject(value) || value.v !== 1 || typeof value.id !== 'string' || !isObject(value.nodes)) return null;
  const fresh = newConversation(String(value.model ?? ''));
  const conversation = { ...fresh, ...value, title: String(value.title ?? ''), active: isObject(value.active) ? value.active : {} };
  conversation.settings = [0, 1].map((i) => readSettings(value.settings?.[i]));
  for (const [id, node] of Object.entries(conversation.nodes)) {
    const sound = isObject(node) && node.id === Number(id) && node.parent < node.id && ['user', 'assistant', 'tool'].includes(node.role);
    if (!sound || (node.parent !== ROOT && !conversation.nodes[node.parent])) delete conversation.nodes[id];
    else node.content = String(node.content ?? '');
  }
  conversation.last = Math.max(0, ...Object.keys(conversation.nodes).map(Number));
  return conversation;
}

function readSettings(value) {
  const empty = emptySettings();
  const isObject = (x) => x !== null && typeof x === 'object' && !Array.isArray(x);
  if (!isObject(value)) return empty;
  return {
    system: String(value.system ?? ''), values: isObject(value.values) ? value.values : {},
    format: isObject(value.format) ? value.format : empty.format, tools: String(value.tools ?? ''),
    toolChoice: String(value.toolChoice ?? 'auto'),
  };
}
