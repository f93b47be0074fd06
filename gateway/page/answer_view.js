// One answer as it is shown: its reasoning folded with its seconds, its text, its calls, what went wrong, and its numbers.
// update() after any change of the node; while it streams, as often as the screen is drawn.
import { childrenOf, isWhole, openCalls } from './conversation.js';
import { copyButton, el, iconButton } from './dom.js';
import { count, dollars, rate, seconds } from './format.js';
import { MarkdownView } from './markdown_view.js';
import { resultForm } from './tool_form.js';

export class AnswerView {
  // `acts`: what the answer's buttons do (chat_view.js).
  constructor(node, acts) {
    this.node = node;
    this.acts = acts;
    this.thoughts = new MarkdownView();
    this.summary = el('summary');
    this.reasoning = el('details', { class: 'reasoning', ontoggle: () => { this.touched ||= this.reasoning.open !== this.meant; } }, this.summary, this.thoughts.element);
    this.text = new MarkdownView();
    this.waiting = el('p', { class: 'waiting' });
    this.calls = el('div');
    this.failure = el('div');
    this.bar = el('div', { class: 'bar' });
    this.element = el('article', { class: 'turn assistant', 'aria-label': 'Answer', 'data-node': node.id },
      this.reasoning, this.text.element, this.waiting, this.calls, this.failure, this.bar);
    this.update();
  }

  // Several changes between two frames are one.
  later() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.update();
      this.acts.grown();
    });
  }

  update() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { node } = this;
    const runs = node.state === 'running';
    this.element.setAttribute('aria-busy', runs ? 'true' : 'false');
    this.showReasoning(runs);
    this.text.show(node.content);
    this.text.element.hidden = node.content === '';
    const silent = runs && !node.reasoning && !node.content && !node.calls?.length;
    this.waiting.hidden = !silent;
    this.waiting.textContent = node.queued ? 'Waiting for its turn' : 'Reading the prompt';
    this.showCalls(runs);
    if (!runs || !this.ran) this.showEnd(runs);
    this.ran = runs;
  }

  showReasoning(runs) {
    const { node } = this;
    this.reasoning.hidden = !node.reasoning;
    if (!node.reasoning) return;
    const thinks = runs && !node.content && !node.calls?.length;
    this.reasoning.classList.toggle('thinking', thinks);
    const ms = node.thought_ms ?? null;
    const summary = thinks ? `Thinking… ${seconds(ms)}` : ms === null ? 'Thought' : `Thought for ${seconds(ms)}`;
    if (this.summary.textContent !== summary) this.summary.textContent = summary;
    // Open while it thinks, folded when it has; but as its reader left it.
    if (!this.touched && this.reasoning.open !== thinks) {
      this.meant = thinks;
      this.reasoning.open = thinks;
    }
    if (this.reasoning.open || !thinks) this.thoughts.show(node.reasoning);
  }

  showCalls(runs) {
    const calls = this.node.calls ?? [];
    if (calls.length === 0 && !this.callsState) return;
    const state = `${runs}${JSON.stringify(calls)}${this.acts.answered(this.node)}`;
    if (state === this.callsState) return;
    this.callsState = state;
    this.calls.replaceChildren(...calls.map((call) => callElement(call, runs)));
    const open = runs ? [] : openCalls(this.acts.conversation(), this.node);
    if (open.length > 0) this.calls.append(resultForm(open, (results) => this.acts.giveResults(this.node, results)));
  }

  showEnd(runs) {
    const open = this.bar.querySelector('.numbers')?.open ?? false;
    const focused = this.bar.contains(document.activeElement) ? document.activeElement : null;
    this.failure.replaceChildren();
    this.bar.replaceChildren();
    if (runs) return;
    this.fillEnd(open);
    if (focused) [...this.bar.querySelectorAll('button, summary')].find((one) => isTwin(one, focused))?.focus();
  }

  fillEnd(open) {
    const { node } = this;
    if (node.error) this.failure.append(this.failureElement());
    else if (!node.content && !node.calls?.length) this.failure.append(el('p', { class: 'muted' }, node.reasoning ? 'It ended without an answer.' : 'It ended without a word.'));
    this.bar.append(this.acts.siblings(node), ...this.buttons());
    const last = node.runs?.at(-1);
    if (!last) return;
    this.bar.append(numbersElement(node, last, this.acts.tokensOf(node)));
    this.bar.lastChild.open = open;
  }

  failureElement() {
    const { error, runs } = this.node;
    const id = runs?.at(-1)?.request_id;
    return el('div', { class: 'failure' }, error.message,
      id ? el('small', { class: 'mono' }, `request ${id}`) : null,
      el('button', { type: 'button', class: 'button small', onclick: () => this.acts.retry(this.node) }, 'Retry'));
  }

  buttons() {
    const { node, acts } = this;
    // What others answer to stays as it is.
    const goesOn = childrenOf(acts.conversation(), node.id).length === 0 && !node.calls?.length && (node.content || node.reasoning) && node.finish !== 'stop';
    return [
      copyButton('Copy the answer', () => node.content),
      iconButton('retry', 'Another answer', () => acts.regenerate(node)),
      goesOn ? iconButton('play', 'Continue this answer', () => acts.goOn(node)) : null,
      node.runs?.length ? iconButton('code', 'View code of this request', () => acts.viewCode(node)) : null,
    ].filter((button) => button !== null);
  }
}

const isTwin = (one, other) => one.tagName === other.tagName && one.getAttribute('aria-label') === other.getAttribute('aria-label');

function callElement(call, runs) {
  let shown = call.arguments;
  if (!runs && isWhole(call)) shown = JSON.stringify(JSON.parse(call.arguments || '{}'), null, 2);
  return el('section', { class: 'call', 'aria-label': `Call of ${call.name}` },
    el('header', {}, 'Calls', el('b', {}, call.name), el('span', { class: 'grow' }),
      runs ? null : isWhole(call) ? copyButton('Copy the arguments', () => call.arguments) : el('span', { class: 'bad' }, 'cut off')),
    el('pre', { tabindex: '0' }, shown));
}

const FINISHES = { stop: 'stop', length: 'length: it was cut', tool_calls: 'tool_calls', stopped: 'stopped by you', failed: 'failed' };

const isKnown = (number) => number !== null && number !== undefined;

// A line that says the most, and all of it below.
function numbersElement(node, run, tokens) {
  const cost = node.runs.every((one) => isKnown(one.cost_nano)) ? node.runs.reduce((sum, one) => sum + one.cost_nano, 0) : null;
  const line = [
    isKnown(run.completion) && `${count(run.completion)} tokens`,
    isKnown(run.decode_rate) && `${rate(run.decode_rate)} tokens/s`,
    isKnown(run.first_ms) && `first after ${seconds(run.first_ms)}`,
    cost !== null && dollars(cost),
    node.finish && node.finish !== 'stop' && (FINISHES[node.finish] ?? node.finish),
  ].filter(Boolean);
  const rows = [
    ['Prompt', `${count(run.prompt)} tokens`], ['of it cached', count(run.cached)], ['Prompt tokens/s', rate(run.prompt_rate)],
    ['Answer', `${count(run.completion)} tokens`], ['of it reasoning', count(run.reasoning)], ['Answer tokens/s', rate(run.decode_rate)],
    [run.params.reasoning?.exclude ? 'First shown token' : 'First token', seconds(run.first_ms)], ['In all', seconds(run.total_ms)], ['Cost', dollars(cost)],
    ['Finish', `${FINISHES[node.finish] ?? node.finish ?? '–'}${run.details?.type ? ` (${run.details.type})` : ''}`],
    ['Seed', String(run.params.seed ?? '–')], ['Request', run.request_id || '–'], ['Model', run.model],
  ];
  if (run.params.n > 1) rows.push(['Choices', `numbers are of all ${run.params.n}`]);
  if (node.runs.length > 1) rows.push(['Continued', `${node.runs.length === 2 ? 'once' : `${node.runs.length - 1} times`}; cost is of all`]);
  return el('details', { class: 'numbers' }, el('summary', {}, line.map((part) => el('span', {}, part))),
    el('dl', {}, rows.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value)))),
    tokens?.length ? tokensElement(tokens) : null);
}

// Each token with its probability and the others that were likely in its place.
function tokensElement(tokens) {
  const percent = (logprob) => `${(100 * Math.exp(logprob)).toFixed(1)} %`;
  return el('p', { class: 'tokens', 'aria-label': 'Tokens by their probability' }, tokens.map((token) => {
    const p = Math.exp(token.logprob);
    const others = (token.top_logprobs ?? []).map((top) => `${JSON.stringify(top.token)} ${percent(top.logprob)}`);
    return el('span', { class: p > 0.9 ? null : p > 0.5 ? 'p1' : p > 0.1 ? 'p2' : 'p3', title: [percent(token.logprob), ...others].join('\n') }, token.token);
  }));
}
