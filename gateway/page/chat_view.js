// The conversation as it is shown: one turn after the other along the path, an answer's pair beside it.
import { activate, pairOf, shownPath, siblingsOf } from './conversation.js';
import { AnswerView } from './answer_view.js';
import { el, iconButton, place } from './dom.js';
import { UserTurn } from './user_turn.js';

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
    this.views = new Map();  // by node
    this.follows = true;
    scroller.addEventListener('scroll', () => {
      this.follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    }, { passive: true });
  }

  follow(anyway = false) {
    if (anyway) this.follows = true;
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // Draws the path again; turns that are there keep their elements.
  show() {
    const conversation = this.acts.conversation();
    const before = this.views;
    this.views = new Map();
    const path = shownPath(conversation);
    const turns = path.map((node) => this.turn(conversation, node, before));
    this.element.classList.toggle('wide', path.some((node) => pairOf(conversation, node).length > 1));
    place(this.element, turns.length > 0 ? turns : [this.acts.welcome()]);
    this.follow();
  }

  turn(conversation, node, before) {
    if (node.role === 'user') return this.view(UserTurn, node, before).element;
    if (node.role === 'tool') return toolTurn(conversation, node);
    const pair = pairOf(conversation, node);
    if (pair.length === 1) return this.answer(node, before).element;
    return el('div', { class: 'pair' }, pair.map((one) => {
      const { element } = this.answer(one, before);
      element.classList.toggle('aside', one !== node);
      element.prepend(el('div', { class: 'side' }, el('span', { class: 'badge accent' }, `Settings ${'AB'[one.side ?? 0]}`),
        one === node ? 'the conversation goes on from here'
          : el('button', { type: 'button', class: 'button quiet small', onclick: () => this.acts.choose(one) }, 'Go on from here')));
      return element;
    }));
  }

  answer(node, before) {
    const view = this.view(AnswerView, node, before);
    view.element.querySelector(':scope > .side')?.remove();
    view.element.classList.remove('aside');
    return view;
  }

  view(Kind, node, before) {
    const known = before.get(node.id);
    const view = known?.node === node ? known : new Kind(node, this.acts);
    view.update();
    this.views.set(node.id, view);
    return view;
  }

  viewOf(node) {
    return this.views.get(node.id);
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
      const [back, on] = this.element.querySelectorAll(`[data-node="${all[at + by].id}"] .siblings button`);
      ((by > 0 ? on : back).disabled ? (by > 0 ? back : on) : by > 0 ? on : back).focus();
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
