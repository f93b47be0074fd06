// A message of the user's as it is shown, and edited in its place: what is being written there stays while other turns
// are drawn again.
import { copyButton, el, iconButton } from './dom.js';

export class UserTurn {
  // `acts`: what the turn's buttons do (chat_view.js).
  constructor(node, acts) {
    Object.assign(this, { node, acts });
    this.bubble = el('div', { class: 'bubble' });
    this.siblings = el('span', { class: 'siblings-place' });
    this.pencil = iconButton('edit', 'Edit: a branch from here', () => this.edit());
    this.bar = el('div', { class: 'bar' }, this.siblings, copyButton('Copy the message', () => node.content), this.pencil);
    this.element = el('article', { class: 'turn user', 'aria-label': 'Your message', 'data-node': node.id }, this.bubble, this.bar);
    this.update();
  }

  update() {
    if (this.bubble.textContent !== this.node.content) this.bubble.textContent = this.node.content;
    this.siblings.replaceChildren(this.acts.siblings(this.node));
  }

  edit() {
    const { node } = this;
    const area = el('textarea', { 'aria-label': 'The message', rows: String(Math.min(12, node.content.split('\n').length + 1)) });
    area.value = node.content;
    const rest = () => this.element.replaceChildren(this.bubble, this.bar);
    const save = () => {
      if (area.value.trim() !== '' && this.acts.edit(node, area.value)) rest();
    };
    const cancel = () => {
      rest();
      this.pencil.focus();
    };
    area.addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        save();
      } else if (event.key === 'Escape') {
        event.stopPropagation();
        cancel();
      }
    });
    this.element.replaceChildren(el('div', { class: 'editor' }, area, el('div', { class: 'dialog-foot' },
      el('button', { type: 'button', class: 'button small', onclick: cancel }, 'Cancel'),
      el('button', { type: 'button', class: 'button primary small', onclick: save }, 'Send as a branch'))));
    area.focus();
  }
}
