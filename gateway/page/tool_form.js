// Where the results of a model's calls are given: a field for each, sent together.
import { el } from './dom.js';

const short = (text) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

// onSend([{call, content}]), in the order of the calls.
export function resultForm(calls, onSend) {
  const fields = calls.map((call) => ({ call, area: el('textarea', { rows: '2', class: 'mono', placeholder: '{"result": …} or any text' }) }));
  const send = (event) => {
    event.preventDefault();
    onSend(fields.map(({ call, area }) => ({ call, content: area.value })));
  };
  return el('form', { class: 'results', 'aria-label': 'Results of the calls', onsubmit: send },
    fields.map(({ call, area }) => el('label', {}, `Result of ${call.name}(${short(call.arguments)})`, area)),
    el('div', { class: 'dialog-foot' }, el('button', { type: 'submit', class: 'button primary small' }, fields.length > 1 ? 'Send the results' : 'Send the result')));
}
