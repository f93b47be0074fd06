// The message box, with what the message would cost: the prompt is counted by the server, which knows its tokens.
import { ApiError, countTokens, keys } from './api.js';
import { el, icon } from './dom.js';
import { count, dollars, nanoFromDecimal } from './format.js';

const AFTER_MS = 450;     // without a key pressed, the prompt is counted
const USUAL_MOST = 16384;  // of an answer where max_tokens is absent

export class Composer {
  // acts: {send(text), stop(), running(): bool, bodiesWith(text): bodies or null, model(), spent(): {nano, whole} or null, used(): tokens or null}
  constructor(form, acts) {
    Object.assign(this, { form, acts });
    this.draft = form.querySelector('#draft');
    this.button = form.querySelector('#send');
    this.line = form.querySelector('#estimate');
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.press();
    });
    this.draft.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.acts.running()) this.press();
    });
    this.draft.addEventListener('input', () => this.changed());
    this.show();
  }

  press() {
    if (this.acts.running()) {
      this.acts.stop();
      return;
    }
    const text = this.draft.value;
    if (text.trim() === '') return;
    if (this.acts.send(text)) {
      this.draft.value = '';
      this.changed();
    }
  }

  changed() {
    this.show();
    clearTimeout(this.timer);
    this.abort?.abort();
    this.timer = setTimeout(() => this.estimate(), AFTER_MS);
  }

  show() {
    const running = this.acts.running();
    this.button.replaceChildren(icon(running ? 'stop' : 'send'));
    const label = running ? 'Stop (Esc)' : 'Send (Enter)';
    this.button.setAttribute('aria-label', label);
    this.button.title = label;
    const useless = !running && this.draft.value.trim() === '';
    if (useless && document.activeElement === this.button) this.draft.focus();  // a button that is disabled has no focus
    this.button.disabled = useless;
    // Where the style sheet's field-sizing is not known.
    if (!CSS.supports('field-sizing', 'content')) {
      this.draft.style.height = 'auto';
      this.draft.style.height = `${this.draft.scrollHeight}px`;
    }
  }

  async estimate() {
    const model = this.acts.model();
    if (!model || !keys.get()) {
      this.line.replaceChildren();
      return;
    }
    const bodies = this.draft.value.trim() === '' ? null : this.acts.bodiesWith(this.draft.value);
    if (!bodies) {
      this.tell(model, this.acts.used(), []);
      return;
    }
    this.abort = new AbortController();
    const { signal } = this.abort;
    try {
      const asked = await Promise.all(bodies.map(async (body) => ({ body, tokens: (await countTokens(body, signal)).count })));
      if (!signal.aborted) this.tell(model, Math.max(...asked.map(({ tokens }) => tokens)), asked);
    } catch (error) {
      if (!signal.aborted) this.line.replaceChildren(el('span', {}, error instanceof ApiError ? error.message : 'The server can’t be reached.'));
    }
  }

  // `asked`: the requests that the message would be, with the tokens of their prompts.
  tell(model, tokens, asked) {
    const context = model.context_length;
    const parts = [];
    if (tokens !== null) {
      parts.push(el('span', {}, el('meter', { min: 0, max: context, value: Math.min(tokens, context), 'aria-label': 'Context used' }),
        `${count(tokens)} of ${count(context)} tokens`));
    }
    if (asked.length > 0) {
      const prompt = asked.reduce((sum, one) => sum + one.tokens, 0) * nanoFromDecimal(model.pricing.prompt);
      const most = asked.reduce((sum, one) => sum + longest(model, one), 0);
      parts.push(el('span', {}, `prompt ${dollars(prompt)}`),
        el('span', {}, `with the longest answer ${dollars(prompt + most * nanoFromDecimal(model.pricing.completion))}`));
    }
    const spent = this.acts.spent();
    if (spent !== null) parts.push(el('span', {}, `this conversation so far ${spent.whole ? '' : 'more than '}${dollars(spent.nano)}`));
    this.line.replaceChildren(...parts);
  }
}

// Tokens of the longest answers that it can have.
const longest = ({ max_output_length: most, context_length: context }, { body, tokens }) =>
  Math.max(0, Math.min(body.max_tokens ?? USUAL_MOST, most, context - tokens)) * (body.n ?? 1);
