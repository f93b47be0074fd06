// Conversations in this browser and nowhere else: each under a key of its own in localStorage, where other tabs write too:
// what they wrote is brought in before anything is written. Bounded: what finds no room is said, never dropped in silence.
import { mendCut, readConversation, titleOf } from './conversation.js';
import { mergeInto } from './merge.js';

const PREFIX = 'quire.conversation.';
const MOST = 4000000;  // characters of all; browsers have room for some five million

const known = new Map();     // what was made of a text, by its key: {text, entry}
const seen = new WeakMap();  // the text that a conversation was last read from or written as

const entryOf = (conversation) => conversation && { id: conversation.id, title: titleOf(conversation), updated: conversation.updated };

// Newest first: [{id, title, updated}]. Reads again only what has changed.
export function listConversations() {
  const keys = ours(), there = new Set(keys);
  for (const key of known.keys()) if (!there.has(key)) known.delete(key);
  const entries = keys.map((key) => {
    const text = read(key);
    if (known.get(key)?.text !== text) known.set(key, { text, entry: entryOf(parse(text)) });
    return known.get(key).entry;
  });
  return entries.filter((entry) => entry !== null).sort((a, b) => b.updated - a.updated);
}

export function loadConversation(id) {
  const text = read(PREFIX + id);
  const conversation = parse(text);
  if (conversation) {
    mendCut(conversation);
    seen.set(conversation, text);
  }
  return conversation;
}

// What another tab has stored of it, brought in; says what mergeInto says, null: nothing was stored since. Who has deleted
// it wants it gone. `running`: ids of nodes that this tab writes.
export function syncConversation(conversation, running = new Set()) {
  const text = read(PREFIX + conversation.id), before = seen.get(conversation) ?? null;
  if (text === before) return null;
  if (text === null) {
    conversation.gone = true;
    return null;
  }
  const stored = parse(text);
  seen.set(conversation, text);
  return stored && mergeInto(conversation, basesOf(before), stored, running);
}

// As it was stored, and as this tab has read that.
function basesOf(text) {
  const raw = parse(text), mended = parse(text);
  if (raw === null) return [{ nodes: {}, active: {} }];
  mendCut(mended);
  return [raw, mended];
}

// {failure: null or why it is not saved, merged: as syncConversation says}.
export function saveConversation(conversation, running = new Set()) {
  const merged = syncConversation(conversation, running);
  if (conversation.gone) return { failure: null, merged };
  const key = PREFIX + conversation.id, text = JSON.stringify(conversation);
  const others = ours().filter((other) => other !== key).reduce((sum, other) => sum + (read(other)?.length ?? 0), 0);
  if (others + text.length > MOST) return { failure: 'This browser’s room for conversations is full: this one is not saved. Export or delete some.', merged };
  try {
    localStorage.setItem(key, text);
  } catch (error) {
    const full = error.name === 'QuotaExceededError';
    return {
      failure: full ? 'This browser’s storage is full: this conversation is not saved. Export or delete some.'
        : 'This browser keeps nothing for this page: conversations end with the tab.', merged,
    };
  }
  seen.set(conversation, text);
  known.set(key, { text, entry: entryOf(conversation) });
  return { failure: null, merged };
}

export function deleteConversation(id) {
  try {
    localStorage.removeItem(PREFIX + id);
  } catch { /* there was nothing */ }
}

// Another tab has changed something: then(id), of all: then(null).
export function onStored(then) {
  window.addEventListener('storage', (event) => {
    if (event.key === null || event.key.startsWith(PREFIX)) then(event.key?.slice(PREFIX.length) ?? null);
  });
}

// Small things that are not conversations, such as the last model.
export const notes = {
  get: (name) => read(`quire.${name}`),
  set: (name, value) => write(`quire.${name}`, value),
};

// Which conversation is open: each tab has its own, and a new one begins with the last.
export const opened = {
  get: () => read('quire.conversation', () => sessionStorage) ?? notes.get('conversation'),
  set(id) {
    notes.set('conversation', id);
    write('quire.conversation', id, () => sessionStorage);
  },
};

function write(key, value, storage = () => localStorage) {
  try {
    storage().setItem(key, value);
  } catch { /* it is a convenience */ }
}

function ours() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  } catch {
    return [];
  }
}

function read(key, storage = () => localStorage) {
  try {
    return storage().getItem(key);
  } catch {
    return null;
  }
}

function parse(text) {
  try {
    return text === null ? null : readConversation(JSON.parse(text));
  } catch {
    return null;
  }
}
