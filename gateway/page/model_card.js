// What the model is, what it costs, and how it is doing just now.
import { ApiError, modelStatus } from './api.js';
import { copyButton, el } from './dom.js';
import { count, nanoFromDecimal, perMillion, rate, seconds, share, shortCount } from './format.js';

const EVERY_MS = 5000;  // while somebody looks

export class ModelCard {
  constructor(element, onChoose) {
    Object.assign(this, { element, onChoose, model: null });
    this.live = el('dl', { class: 'facts live' });
    document.addEventListener('visibilitychange', () => this.look());
  }

  show(models, model) {
    this.model = model;
    if (!model) {
      this.element.replaceChildren(el('h1', {}, 'Quire'), el('p', { class: 'muted' }, 'Models and answers are for those who have a key of this server.'));
      return;
    }
    const { capabilities = {} } = model;
    const badges = [
      el('span', { class: 'badge', title: 'For every key of this server, but those that are for other models' }, 'Public'),
      model.dtype && el('span', { class: 'badge', title: 'Of its weights' }, model.dtype),
      el('span', { class: 'badge', title: `${count(model.context_length)} tokens, prompt and answer together` }, `${shortCount(model.context_length)} context`),
      capabilities.json && badge('JSON', 'Answers in the form of a schema'),
      capabilities.tools && badge('Tools', 'It calls functions'),
      capabilities.reasoning && badge('Reasoning', 'It thinks before it answers'),
    ];
    this.element.replaceChildren(
      el('div', { class: 'card-head' }, models.length > 1 ? this.chooser(models, model) : el('h1', {}, model.id), copyButton('Copy the model’s id', model.id)),
      el('div', { class: 'badges' }, badges.filter(Boolean)),
      el('dl', { class: 'facts' },
        fact('Input', price(model, 'prompt'), '/ M tokens'), fact('Cached input', price(model, 'input_cache_read'), '/ M'),
        fact('Output', price(model, 'completion'), '/ M'), fact('Context', count(model.context_length)), fact('Longest answer', count(model.max_output_length))),
      this.live);
    this.live.replaceChildren();
    this.look();
  }

  chooser(models, model) {
    const select = el('select', { 'aria-label': 'Model', id: 'model' }, models.map((one) => el('option', { value: one.id }, one.id)));
    select.value = model.id;
    select.addEventListener('change', () => this.onChoose(select.value));
    return el('h1', {}, select);
  }

  async look() {
    clearTimeout(this.timer);
    if (!this.model || document.visibilityState === 'hidden') return;
    const { id } = this.model;
    try {
      const status = await modelStatus(id);
      if (this.model?.id === id) this.showStatus(status);
    } catch (error) {
      const why = error instanceof ApiError ? error.message : 'no word from the server';
      if (this.model?.id === id) this.live.replaceChildren(el('div', { class: 'fact' }, el('dt', {}, 'Now'), el('dd', {}, el('span', { class: 'lamp off' }), why)));
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  showStatus(status) {
    const { groups_ready: ready, requests, uptime, numerics_id: numerics, first_token_seconds: first, tokens_per_second: speed } = status;
    this.live.replaceChildren(
      el('div', { class: 'fact' }, el('dt', {}, 'Ready groups'), el('dd', {}, el('span', { class: `lamp ${ready > 0 ? 'on' : 'off'}` }), count(ready))),
      fact('Waiting', count(requests.waiting)), fact('Running', count(requests.running)),
      fact('First token', first ? seconds(first.p50 * 1000) : '–', first && `p95 ${seconds(first.p95 * 1000)}`),
      fact('Tokens/s', speed ? rate(speed.p50) : '–', speed && `p95 ${rate(speed.p95)}`),
      fact('Uptime', share(uptime)), el('div', { class: 'fact' }, el('dt', {}, 'Numerics'), el('dd', { class: 'mono', title: 'Equal ones give equal tokens' }, numerics ?? '–')));
  }
}

const badge = (text, title) => el('span', { class: 'badge accent', title }, text);
const fact = (name, value, more) => el('div', { class: 'fact' }, el('dt', {}, name), el('dd', {}, value, more ? el('small', {}, ` ${more}`) : null));
const price = (model, name) => perMillion(nanoFromDecimal(model.pricing?.[name]));
