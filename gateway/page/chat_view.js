// The conversation as it is shown: one turn after the other along the path, an answer's pair beside it.
import { activate, pairOf, shownPath, siblingsOf } from './conversation.js';
import { AnswerView } from './answer_view.js';
import { copyButton, el, iconButton } from './dom.js';

const NEAR = 80;  // px from the end, within which the view follows what grows

export class ChatView {
  // `acts` is what turns can have done: {conversation(), ask(parent), edit(node, text), regenerate, retry, goOn, viewCode,
  // giveResults, choose(node), tokensOf}.
  constructor(element, scroller, acts) {
    this.element = element;
    this.scroller = scroller;
    this.acts = {
      ...acts,
      siblings: (node) => this.siblings(node),
      grown: () => this.follow(),
      answered: (node) => Object.values(acts.conversation().nodes).some((other) => other.parent === node.id && other.role === 'tool'),
    };
    this.answers = new Map();  // by node
    this.follows = true;
    scroller.addEventListener('scroll', () => {
      this.follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    }, { passive: true });
  }

  follow(anyway = false) {
    if (anyway) this.follows = true;
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // Draws the path again; answers that are there keep their elements.
  show() {
    const conversation = this.acts.conversation();
    const before = this.answers;
    this.answers = new Map();
    const path = shownPath(conversation);
    const turns = path.map((node) => this.turn(conversation, node, before));
    this.element.classList.toggle('wide', path.some((node) => pairOf(conversation, node).length > 1));
    this.element.replaceChildren(...(turns.length > 0 ? turns : [this.acts.welcome()]));
    this.follow();
  }

  turn(conversation, node, before) {
    if (node.role === 'user') return this.userTurn(node);
    if (node.role === 'tool') return toolTurn(conversation, node);
    const pair = pairOf(conversation, node);
    if (pair.length === 1) return this.answer(node, before).element;
    return el('div', { class: 'pair' }, pair.map((one, i) => {
      const { element } = this.answer(one, before);
      element.classList.toggle('aside', one !== node);
      element.querySelector('.side')?.remove();
      element.prepend(el('div', { class: 'side' }, el('span', { class: 'badge accent' }, `Settings ${'AB'[i]}`),
        one === node ? 'the conversation goes on from here'
          : el('button', { type: 'button', class: 'button quiet small', onclick: () => this.acts.choose(one) }, 'Go on from here')));
      return element;
    }));
  }

  answer(node, before) {
    const view = before.get(node.id)?.node === node ? before.get(node.id) : new AnswerView(node, this.acts);
    view.element.querySelector(':scope > .side')?.remove();
    view.element.classList.remove('aside');
    view.shownState = null;
    view.update();
    this.answers.set(node.id, view);
    return view;
  }

  viewOf(node) {
    return this.answers.get(node.id);
  }

  userTurn(node) {
    const turn = el('article', { class: 'turn user', 'aria-label': 'Your message', 'data-node': node.id });
    const rest = () => turn.replaceChildren(el('div', { class: 'bubble' }, node.content),
      el('div', { class: 'bar' }, this.siblings(node), copyButton('Copy the message', () => node.content),
        iconButton('edit', 'Edit: a branch from here', edit)));
    const edit = () => {
      const area = el('textarea', { 'aria-label': 'The message', rows: String(Math.min(12, node.content.split('\n').length + 1)) });
      area.value = node.content;
      const save = () => this.acts.edit(node, area.value);
      const cancel = () => {
        rest();
        turn.querySelector('.bar button:last-child').focus();
      };
      area.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          save();
        } else if (event.key === 'Escape') {
          event.stopPropagation();
          cancel();
        }
      });
      turn.replaceChildren(el('div', { class: 'editor' }, area, el('div', { class: 'dialog-foot' },
        el('button', { type: 'button', class: 'button small', onclick: cancel }, 'Cancel'),
        el('button', { type: 'button', class: 'button primary small', onclick: save }, 'Send as a branch'))));
      area.focus();
    };
    rest();
    return turn;
  }

  // "‹ 2/3 ›" where there are siblings; a pair counts as one.
  siblings(node) {
    const conversation = this.acts.conversation();
    const all = siblingsOf(conversation, node).filter((one, i, nodes) => !one.pair || nodes.findIndex((other) => other.pair === one.pair) === i);
    const at = all.findIndex((one) => one === node || (one.pair && one.pair === node.pair));
    if (all.length < 2) return '';
    const go = (by) => {
      activate(conversation, all[at + by]);
      this.acts.changed();
      this.element.querySelector(`[data-node="${all[at + by].id}"] .siblings button:${by > 0 ? 'last' : 'first'}-of-type`)?.focus();
    };
    return el('span', { class: 'siblings', role: 'group', 'aria-label': `Branch ${at + 1} of ${all.length}` },
      iconButton('left', 'The branch before', () => go(-1), { disabled: at === 0 }), `${at + 1}/${all.length}`,
      iconButton('right', 'The next branch', () => go(1), { disabled: at === all.length - 1 }));
  }
}

function toolTurn(conversation, node) {
  const call = findCall(conversation, node);
  return el('article', { class: 'turn tool', 'aria-label': 'Result of a call', 'data-node': node.id },
    el('section', { class: 'call' }, el('header', {}, 'Result of', el('b', {}, call?.name ?? node.call)), el('pre', { tabindex: '0' }, node.content)));
}

function findCall(conversation, node) {
  for (let at = conversation.nodes[node.parent]; at; at = conversation.nodes[at.parent]) {
    const call = at.calls?.find((one) => one.id === node.call);
    if (call) return call;
  }
  return null;
}
