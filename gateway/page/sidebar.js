// The conversations that this browser keeps: open, rename, delete, export.
import { asMarkdown, titleOf } from './conversation.js';
import { download, el, icon, iconButton } from './dom.js';
import { when } from './format.js';
import { deleteConversation, listConversations, loadConversation } from './store.js';

export class Sidebar {
  // acts: {current(): conversation, open(id), fresh(), deleted(id), save(conversation)}
  constructor(element, acts) {
    Object.assign(this, { element, acts });
    this.list = el('ul');
    element.append(el('button', { type: 'button', class: 'button', id: 'new-conversation', title: 'New conversation (Alt+N)', onclick: () => acts.fresh() }, icon('plus'), 'New conversation'),
      this.list, el('p', { class: 'note' }, 'Kept in this browser only.'));
  }

  show(anyway = false) {
    const { id } = this.acts.current();
    const entries = listConversations();
    const state = JSON.stringify([id, entries]);
    // A title that is being written, or a question, stays while an answer is kept meanwhile.
    if (state === this.shown || (this.asks && !anyway)) return;
    this.shown = state;
    this.asks = false;
    this.list.replaceChildren(...entries.map((entry) => this.entry(entry, entry.id === id)));
  }

  showAgain() {
    this.shown = '';
    this.show(true);
  }

  // The same after what was asked in an entry: its menu's button has the focus again, or what is there in its place.
  answered(id) {
    this.showAgain();
    const entry = [...this.list.children].find((one) => one.dataset.id === id);
    (entry?.querySelector('.icon-button') ?? this.element.querySelector('#new-conversation')).focus();
  }

  // Null: another tab has deleted it.
  conversation(id) {
    return id === this.acts.current().id ? this.acts.current() : loadConversation(id);
  }

  entry({ id, title, updated }, isCurrent) {
    const more = iconButton('more', `More about ${title}`, () => this.openMenu(id, more), { 'aria-haspopup': 'menu' });
    return el('li', { class: isCurrent ? 'current' : null, 'data-id': id },
      el('button', { type: 'button', class: 'go', 'aria-current': isCurrent ? 'true' : null, onclick: () => this.acts.open(id), title },
        el('span', {}, title), el('small', {}, when(updated))), more);
  }

  openMenu(id, from) {
    const menu = el('div', { class: 'menu', popover: 'auto', role: 'menu' });
    const item = (label, then) => el('button', {
      type: 'button', role: 'menuitem',
      onclick: () => {
        menu.hidePopover();
        then();
      },
    }, label);
    menu.append(item('Rename', () => this.rename(id, from.closest('li'))),
      item('Export as JSON', () => this.export(id, 'json')),
      item('Export as Markdown', () => this.export(id, 'md')),
      item('Delete', () => this.askToDelete(id, from.closest('li'))));
    menu.addEventListener('keydown', (event) => {
      const items = [...menu.children], at = items.indexOf(document.activeElement);
      const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      items[(next + items.length) % items.length].focus();
    });
    menu.addEventListener('toggle', (event) => event.newState === 'closed' && menu.remove());
    document.body.append(menu);
    const box = from.getBoundingClientRect();
    menu.showPopover();
    menu.style.top = `${Math.min(box.bottom + 2, window.innerHeight - menu.offsetHeight - 8)}px`;
    menu.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - menu.offsetWidth - 8))}px`;
    menu.firstChild.focus();
  }

  export(id, kind) {
    const conversation = this.conversation(id);
    if (!conversation) return;
    const name = titleOf(conversation).replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 40) || 'conversation';
    if (kind === 'json') download(`${name}.json`, 'application/json', `${JSON.stringify(conversation, null, 2)}\n`);
    else download(`${name}.md`, 'text/markdown', asMarkdown(conversation));
  }

  rename(id, entry) {
    const conversation = this.conversation(id);
    if (!conversation) return;
    const input = el('input', { type: 'text', 'aria-label': 'Title', maxlength: '200' });
    input.value = titleOf(conversation);
    let over = false;
    const end = (keep, then) => {
      if (over) return;
      over = true;
      if (keep && input.value.trim() !== '') {
        conversation.title = input.value.trim();
        this.acts.save(conversation);
      }
      then();
    };
    const back = () => this.answered(id);
    this.asks = true;
    input.addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter') end(true, back);
      if (event.key === 'Escape') {
        event.stopPropagation();
        end(false, back);
      }
    });
    input.addEventListener('blur', () => end(true, () => this.showAgain()));
    entry.replaceChildren(input);
    input.select();
  }

  // Asked in its own place: nothing else is stopped by it.
  askToDelete(id, entry) {
    const no = el('button', { type: 'button', class: 'button small', onclick: () => this.answered(id) }, 'Keep');
    const yes = el('button', {
      type: 'button', class: 'button small bad',
      onclick: () => {
        deleteConversation(id);
        this.acts.deleted(id);
        this.answered(id);
      },
    }, 'Delete');
    this.asks = true;
    entry.replaceChildren(el('div', { class: 'go' }, el('span', {}, 'Delete it?')), yes, no);
    no.focus();
  }
}
