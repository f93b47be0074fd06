// The settings of a conversation: system prompt, every parameter with its default, form of the answer, tools. With two
// settings side by side there are two sets, and a tab for each.
import { emptySettings } from './conversation.js';
import { el, iconButton } from './dom.js';
import { groupsFor, read } from './parameters.js';
import { choiceOf, choicesOf, parseJson, parseTools } from './request.js';

export class Drawer {
  // context(): {conversation, capabilities}; onChange() after each change, close().
  constructor(element, context, onChange, close) {
    Object.assign(this, { element, context, onChange, side: 0 });
    this.head = el('div', { class: 'drawer-head' }, el('h2', {}, 'Settings'),
      el('button', { type: 'button', class: 'button quiet small', onclick: () => this.resetAll() }, 'Reset all'),
      iconButton('close', 'Close the settings', close));
    this.body = el('div', { class: 'drawer-body' });
    element.append(this.head, this.body);
  }

  get settings() {
    return this.context().conversation.settings[this.side];
  }

  changed() {
    this.onChange();
  }

  resetAll() {
    this.context().conversation.settings[this.side] = emptySettings();
    this.changed();
    this.show();
  }

  show() {
    const { conversation, capabilities } = this.context();
    if (!conversation.compare) this.side = 0;
    const groups = groupsFor({ capabilities, compare: conversation.compare });
    this.body.replaceChildren(
      this.compareSwitch(conversation),
      this.systemSection(),
      ...groups.map((group) => this.groupSection(group)),
      this.formatSection(),
      capabilities.tools ? this.toolsSection() : el('section', {}, el('h3', {}, 'Tools'), el('p', { class: 'muted' }, 'This model’s template has no place for them.')));
  }

  compareSwitch(conversation) {
    const box = el('input', { type: 'checkbox', id: 'compare', checked: conversation.compare });
    box.addEventListener('change', () => {
      conversation.compare = box.checked;
      if (box.checked) conversation.settings[1] = structuredClone(conversation.settings[0]);
      this.side = box.checked ? 1 : 0;
      this.changed();
      this.show();
      this.body.querySelector('#compare').focus();
    });
    const choose = (i) => el('button', {
      type: 'button', 'aria-pressed': String(this.side === i),
      onclick: () => {
        this.side = i;
        this.show();
        this.body.querySelector('[aria-pressed="true"]').focus();
      },
    }, `Settings ${'AB'[i]}`);
    return el('section', {}, el('label', { class: 'check' }, box, 'Two settings side by side'),
      conversation.compare ? el('div', { class: 'sides', role: 'group', 'aria-label': 'Which settings' }, choose(0), choose(1)) : null);
  }

  systemSection() {
    const area = el('textarea', { id: 'set-system', rows: '3', placeholder: 'none' });
    area.value = this.settings.system;
    area.addEventListener('input', () => {
      this.settings.system = area.value;
      this.changed();
    });
    return el('section', {}, el('h3', {}, el('label', { for: 'set-system' }, 'System prompt')), area);
  }

  groupSection(group) {
    return el('section', {}, el('h3', {}, group.title), group.parameters.map((parameter) => this.field(parameter)));
  }

  field(parameter) {
    const { name, kind } = parameter;
    const { values } = this.settings;
    const id = `set-${name.replaceAll('.', '-')}`;
    const input = controlOf(parameter, id);
    input.value = values[name] ?? '';
    const error = el('p', { class: 'error', id: `${id}-error`, hidden: true });
    const reset = iconButton('close', `${name}: back to the default`, () => {
      input.value = '';
      take();
      input.focus();
    });
    reset.classList.add('reset');
    const tall = kind === 'text' && (name === 'stop' || name === 'logit_bias');
    const field = el('div', { class: `field${tall ? ' tall' : ''}` }, el('label', { for: id }, name), input, reset,
      el('p', { class: 'help', id: `${id}-help` }, parameter.help), error);
    const mark = () => {
      const wrong = read(parameter, values[name]).error;
      field.classList.toggle('set', (values[name] ?? '') !== '');
      error.hidden = !wrong;
      error.textContent = wrong ?? '';
      input.setAttribute('aria-invalid', String(Boolean(wrong)));
      input.setAttribute('aria-describedby', wrong ? `${id}-error` : `${id}-help`);
    };
    const take = () => {
      if (input.value === '') delete values[name];
      else values[name] = input.value;
      mark();
      this.changed();
    };
    input.addEventListener(input.tagName === 'SELECT' ? 'change' : 'input', take);
    mark();
    return field;
  }

  formatSection() {
    const { format } = this.settings;
    const names = { text: 'Text', json_object: 'JSON object', json_schema: 'JSON schema', regex: 'Regular expression', grammar: 'Grammar (EBNF)' };
    const select = el('select', { id: 'set-format' }, Object.entries(names).map(([value, name]) => el('option', { value }, name)));
    select.value = format.type;
    select.addEventListener('change', () => {
      format.type = select.value;
      this.changed();
      this.show();
      this.body.querySelector('#set-format').focus();
    });
    const parts = [];
    if (format.type === 'json_schema') {
      const strict = el('input', { type: 'checkbox', checked: format.strict !== false });
      strict.addEventListener('change', () => {
        format.strict = strict.checked;
        this.changed();
      });
      parts.push(this.editor('Schema', format.schema ?? '', SCHEMA, (text) => { format.schema = text; }, (text) => parseJson(text).error),
        el('label', { class: 'check' }, strict, 'strict: refuse what can’t be enforced'));
    } else if (format.type === 'regex' || format.type === 'grammar') {
      parts.push(this.editor(names[format.type], format[format.type] ?? '', format.type === 'regex' ? '(yes|no)' : 'root ::= "yes" | "no"',
        (text) => { format[format.type] = text; }, () => undefined));
    }
    return el('section', {}, el('h3', {}, el('label', { for: 'set-format' }, 'Form of the answer')), select, ...parts);
  }

  // Code that is checked while it is typed; what is wrong with it is said below.
  editor(label, text, placeholder, keep, check) {
    const area = el('textarea', { rows: '7', class: 'mono', spellcheck: 'false', placeholder, 'aria-label': label });
    area.value = text;
    const fault = el('p', { class: 'fault', 'aria-live': 'polite' });
    const look = () => {
      const wrong = area.value.trim() === '' ? undefined : check(area.value);
      fault.textContent = wrong ?? '';
      fault.hidden = !wrong;
      area.setAttribute('aria-invalid', String(Boolean(wrong)));
    };
    area.addEventListener('input', () => {
      keep(area.value);
      look();
      this.changed();
    });
    look();
    return el('div', { class: 'stack' }, area, fault);
  }

  toolsSection() {
    const { settings } = this;
    const choice = el('select', { id: 'set-tool-choice' });
    const more = el('div', { class: 'stack' });  // of what is asked with tools alone
    const fill = () => {
      const { value: tools } = parseTools(settings.tools);
      more.hidden = settings.tools.trim() === '' || tools?.length === 0;
      if (!tools) return;  // half written: what was chosen stays
      choice.replaceChildren(...choicesOf(tools).map((value) => el('option', { value }, value.replace('function:', ''))));
      choice.value = choiceOf(settings.toolChoice, tools);
    };
    choice.addEventListener('change', () => {
      settings.toolChoice = choice.value;
      this.changed();
    });
    const parallel = el('input', { type: 'checkbox', checked: settings.values.parallel_tool_calls !== 'off' });
    parallel.addEventListener('change', () => {
      if (parallel.checked) delete settings.values.parallel_tool_calls;
      else settings.values.parallel_tool_calls = 'off';
      this.changed();
    });
    const editor = this.editor('Tools', settings.tools, TOOLS, (text) => {
      settings.tools = text;
      fill();
    }, (text) => parseTools(text).error);
    more.append(el('div', { class: 'field' }, el('label', { for: 'set-tool-choice' }, 'tool_choice'), choice),
      el('label', { class: 'check' }, parallel, 'parallel_tool_calls'));
    fill();
    return el('section', {}, el('h3', {}, 'Tools'), editor, more);
  }
}

function controlOf({ name, kind, min, absent, options }, id) {
  if (kind === 'flag' || kind === 'words') {
    const all = kind === 'flag' ? ['on', 'off'] : options;
    return el('select', { id }, el('option', { value: '' }, kind === 'flag' ? `${absent} (default)` : absent), all.map((value) => el('option', { value }, value)));
  }
  if (name === 'stop' || name === 'logit_bias') return el('textarea', { id, rows: '2', class: 'mono', placeholder: absent, spellcheck: 'false' });
  if (kind === 'text') return el('input', { id, type: 'text', placeholder: absent, autocomplete: 'off' });
  // As text: a field of numbers hides what it can't read, and what is seen is what is sent or refused.
  return el('input', { id, type: 'text', placeholder: absent, autocomplete: 'off', inputmode: min < 0 ? null : kind === 'number' ? 'decimal' : 'numeric' });
}

const SCHEMA = `{
  "type": "object",
  "properties": {"city": {"type": "string"}},
  "required": ["city"]
}`;
const TOOLS = `[{
  "name": "get_weather",
  "description": "The weather now",
  "parameters": {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"]
  }
}]`;
