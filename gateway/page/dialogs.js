// What is asked and shown over the page, in its one dialog: the key, a request's code, the shortcuts.
import { ApiError, keys, listModels } from './api.js';
import { copyButton, el, iconButton } from './dom.js';

const dialog = () => document.getElementById('dialog');

function open(title, narrow, ...content) {
  const box = dialog();
  box.className = narrow ? 'narrow' : '';
  box.replaceChildren(el('div', { class: 'dialog-head' }, el('h2', { id: 'dialog-title' }, title), el('span', { class: 'grow' }),
    iconButton('close', 'Close', () => box.close())), el('div', { class: 'dialog-body' }, content));
  box.onclose = () => box.open || box.replaceChildren();  // a key that was typed stays nowhere
  if (!box.open) box.showModal();
}

// onKey(models) once a key is taken; onForget() when it is put away.
export function askForKey(onKey, onForget, why = '') {
  const input = el('input', { type: 'password', id: 'key', autocomplete: 'off', spellcheck: 'false', placeholder: 'sk-quire-…', required: true });
  const remember = el('input', { type: 'checkbox', id: 'remember', checked: keys.remembered() });
  const fault = el('p', { class: 'bad', role: 'alert' }, why);
  const button = el('button', { type: 'submit', class: 'button primary' }, 'Use this key');
  const submit = async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    fault.textContent = '';
    button.disabled = true;
    try {
      if (!/^[\x21-\x7e]+$/.test(key)) throw new ApiError(401, 'That is no key: it has no blanks.');
      const models = await listModels(key);
      keys.set(key, remember.checked);
      dialog().close();
      onKey(models);
    } catch (error) {
      fault.textContent = error instanceof ApiError ? error.message : 'The server can’t be reached.';
      input.focus();
    } finally {
      button.disabled = false;
    }
  };
  open('API key', true, el('form', { class: 'dialog-body', onsubmit: submit },
    el('p', { class: 'muted' }, 'Requests from this page carry it, to this server only. What they cost is charged to it.'),
    el('label', { for: 'key', class: 'offscreen' }, 'API key'), input,
    el('label', { class: 'check' }, remember, el('span', {}, 'Remember it in this browser ', el('span', { class: 'muted' }, '(else it goes with this tab; whoever uses this browser can read it)'))),
    fault,
    el('div', { class: 'dialog-foot' }, keys.get() ? el('button', {
      type: 'button', class: 'button',
      onclick: () => {
        keys.forget();
        dialog().close();
        onForget();
      },
    }, 'Forget the key') : null, button)));
  input.focus();
}

// `list`: [{name, text}], one at a time.
export function showCode(list) {
  const pre = el('pre', { tabindex: '0' }, el('code'));
  const panel = el('div', { class: 'snippet', role: 'tabpanel', id: 'code-panel' }, pre, copyButton('Copy the code', () => pre.textContent));
  const tabs = list.map((snippet) => el('button', { type: 'button', role: 'tab', 'aria-controls': 'code-panel', onclick: () => choose(snippet) }, snippet.name));
  const choose = (snippet) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(list[i] === snippet));
      tab.tabIndex = list[i] === snippet ? 0 : -1;
    });
    pre.firstChild.textContent = snippet.text;
    panel.setAttribute('aria-label', snippet.name);
  };
  const bar = el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Language' }, tabs);
  bar.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
  choose(list[0]);
  open('Code of this request', false, el('p', { class: 'muted' }, 'Exactly what was asked, seed and all. The key comes from the environment: ', el('code', {}, 'export QUIRE_API_KEY=sk-quire-…')), bar, panel);
  tabs[0].focus();
}

export function showShortcuts() {
  const rows = [
    ['Enter', 'send'], ['Shift + Enter', 'a new line'], ['Esc', 'stop the answer; close what is open'], ['Alt + N', 'a new conversation'],
    ['Alt + C', 'conversations'], ['Alt + S', 'settings'], ['Alt + R', 'another answer to the last message'], ['Alt + /', 'this list'],
  ];
  open('Keyboard', true, el('div', { class: 'shortcuts' }, rows.map(([keysOf, what]) =>
    [el('span', {}, keysOf.split(' + ').map((key, i) => [i ? ' + ' : '', el('kbd', {}, key)])), el('span', {}, what)])));
}
