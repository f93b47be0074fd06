// What stands where a conversation has no turns yet.
import { el } from './dom.js';

const IDEAS = ['Explain how a suspension bridge carries its load.', 'Write a function that merges two sorted lists, in Python.', 'Compare tea and coffee in a table.'];

// onIdea(text), of one that was pressed.
export function welcome(onIdea) {
  return el('div', { class: 'welcome' }, el('h2', {}, 'Ask it something'),
    el('p', {}, 'Answers stream as they are made. Each keeps its tokens, its speed, what it cost, and the code that asks for it.'),
    el('div', { class: 'ideas' }, IDEAS.map((idea) => el('button', { type: 'button', class: 'button small', onclick: () => onIdea(idea) }, idea))));
}
