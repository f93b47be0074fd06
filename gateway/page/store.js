// Conversations in this browser and nowhere else: each under a key of its own in localStorage. Bounded: what finds no room
// is said, never dropped in silence.
import { readConversation, titleOf } from './conversation.js';

const PREFIX = 'quire.conversation.';
const MOST = 4000000;  // characters of all; browsers have room for some five million

const known = new Map();  // what was made of a text, by its key: {text, entry}

// Newest first: [{id, title, updated}]. Reads again only what has changed.
export function listConversations() {
  const entries = ours().map((key) => {
    const text = read(key);
    if (known.get(key)?.text !== text) {
      const conversation = parse(text);
      const entry = conversation && { id: conversation.id, title: titleOf(conversation), updated: conversation.updated };
      known.set(key, { text, entry });
    }
    return known.get(key).entry;
  });
  return entries.filter((entry) => entry !== null).sort((a, b) => b.updated - a.updated);
}

export function loadConversation(id) {
  return parse(read(PREFIX + id));
}

// null, or why it is not saved.
export function saveConversation(conversation) {
  const text = JSON.stringify(conversation);
  const others = ours().filter((key) => key !== PREFIX + conversation.id).reduce((sum, key) => sum + (read(key)?.length ?? 0), 0);
  if (others + text.length > MOST) return 'This browser’s room for conversations is full: this one is not saved. Export or delete some.';
  try {
    localStorage.setItem(PREFIX + conversation.id, text);
    return null;
  } catch (error) {
    return error.name === 'QuotaExceededError'
      ? 'This browser’s storage is full: this conversation is not saved. Export or delete some.'
      : 'This browser keeps nothing for this page: conversations end with the tab.';
  }
}

export function deleteConversation(id) {
  try {
    localStorage.removeItem(PREFIX + id);
  } catch { /* there was nothing */ }
}

// Another tab has changed something.
export function onStored(then) {
  window.addEventListener('storage', (event) => {
    if (event.key === null || event.key.startsWith(PREFIX)) then(event.key?.slice(PREFIX.length) ?? null);
  });
}

// Small things that are not conversations, such as the last model.
export const notes = {
  get: (name) => read(`quire.${name}`),
  set(name, value) {
    try {
      localStorage.setItem(`quire.${name}`, value);
    } catch { /* it is a convenience */ }
  },
};

function ours() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  } catch {
    return [];
  }
}

function read(key) {
  try {
    return localStorage.getItem(key);
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
