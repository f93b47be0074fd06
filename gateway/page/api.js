// The server that this page came from: what is asked of it, with the key. Errors are ApiError, with the API's own words.

import { soundJson } from './format.js';

// Below whatever path the page itself is at, as behind a proxy.
export const BASE = new URL('.', document.baseURI).href.replace(/\/$/, '');

const KEY = 'quire.key';

export class ApiError extends Error {
  constructor(status, message, code, requestId) {
    super(message);
    Object.assign(this, { status, code, requestId });
  }
}

// The key is kept for this tab, or in this browser where its user says so.
export const keys = {
  get() {
    if (this.held !== undefined) return this.held;
    try {
      return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? '';
    } catch {
      return '';
    }
  },
  set(key, remember) {
    this.held = key;
    for (const [storage, kept] of [[() => sessionStorage, true], [() => localStorage, remember]]) {
      try {
        if (kept) storage().setItem(KEY, key);
        else storage().removeItem(KEY);
      } catch { /* full, or none: this page's own memory has it */ }
    }
  },
  remembered() {
    try {
      return localStorage.getItem(KEY) !== null;
    } catch {
      return false;
    }
  },
  forget() {
    this.held = '';
    try {
      sessionStorage.removeItem(KEY);
      localStorage.removeItem(KEY);
    } catch { /* nothing was kept */ }
  },
};

const pathOf = (id) => id.split('/').map(encodeURIComponent).join('/');

async function ask(path, { body, signal, key = keys.get() } = {}) {
  const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...(body ? { 'Content-Type': 'application/json' } : {}) };
  const reply = await fetch(`${BASE}${path}`, {
    method: body ? 'POST' : 'GET', headers, body: body && soundJson(body), signal, cache: 'no-store', credentials: 'omit',
  });
  if (!reply.ok) throw await errorOf(reply);
  return reply;
}

// What an error says, if it has words.
export function wordsOf(error) {
  if (typeof error?.message !== 'string') return null;
  return typeof error.param === 'string' && error.param !== '' ? `${error.param}: ${error.message}` : error.message;
}

async function errorOf(reply) {
  const text = await reply.text().catch(() => '');
  const requestId = reply.headers.get('x-request-id') ?? '';
  try {
    const { error } = JSON.parse(text);
    const words = wordsOf(error);
    if (words !== null) return new ApiError(reply.status, words, error.code ?? error.type, requestId);
  } catch { /* it is not ours */ }
  return new ApiError(reply.status, `The server answered ${reply.status}.`, '', requestId);
}

const json = async (path, options) => (await ask(path, options)).json();

export const listModels = async (key) => (await json('/v1/models', { key })).data;
export const modelStatus = (id) => json(`/v1/status/${pathOf(id)}`);

// {count, max_model_len} of a chat request's prompt.
export const countTokens = (body, signal) => json('/v1/tokenize', { body, signal });

// The reply of a chat, whose body is a stream of events.
export const openChat = (body, signal) => ask('/v1/chat/completions', { body, signal });
