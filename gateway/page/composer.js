// The message box, with what the message would cost: the prompt is counted by the server, which knows its tokens.
import { countTokens, keys } from './api.js';
import { el, icon } from './dom.js';
import { count, dollars, nanoFromDecimal } from './format.js';

const AFTER_MS = 450;     // without a key pressed, the prompt is counted
const USUAL_MOST = 16384;  // of an answer where max_tokens is absent

export class Composer {
  // acts: {send(text), stop(), running(): bool, bodyWith(text): body or null, model(), spent(): {nano, whole} or null, used(): tokens or null}
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
    this.button.disabled = !running && this.draft.value.trim() === '';
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
    const body = this.draft.value.trim() === '' ? null : this.acts.bodyWith(this.draft.value);
    if (!body) {
      this.tell(this.acts.used(), null);
      return;
    }
    this.abort = new AbortController();
    try {
      const { count: tokens } = await countTokens(body, this.abort.signal);
      this.tell(tokens, body);
    } catch (error) {
      if (error.name !== 'AbortError') this.line.replaceChildren(el('span', {}, error.message));
    }
  }

  tell(tokens, body) {
    const model = this.acts.model(), context = model.context_length;
    const parts = [];
    if (tokens !== null) {
      parts.push(el('span', {}, el('meter', { min: 0, max: context, value: Math.min(tokens, context), 'aria-label': 'Context used' }),
        `${count(tokens)} of ${count(context)} tokens`));
    }
    if (body) {
      const prompt = tokens * nanoFromDecimal(model.pricing.prompt);
      const most = Math.max(0, Math.min(body.max_tokens ?? USUAL_MOST, model.max_output_length, context - tokens)) * (body.n ?? 1);
      parts.push(el('span', {}, `prompt ${dollars(prompt)}`),
        el('span', {}, `with the longest answer ${dollars(prompt + most * nanoFromDecimal(model.pricing.completion))}`));
    }
    const spent = this.acts.spent();
    if (spent !== null) parts.push(el('span', {}, `this conversation so far ${spent.whole ? '' : 'more than '}${dollars(spent.nano)}`));
    this.line.replaceChildren(...parts);
  }
}
