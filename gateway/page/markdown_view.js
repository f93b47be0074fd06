// Elements of Markdown's tree (markdown.js, inline.js), made one by one: whatever a text says is text.
import { copyButton, el } from './dom.js';
import { parseInline } from './inline.js';
import { GrowingMarkdown } from './markdown.js';

// A text that grows: show() again with more of it touches only what is new.
export class MarkdownView {
  constructor() {
    this.element = el('div', { class: 'prose' });
    this.growing = new GrowingMarkdown();
    this.shown = [];  // {block, element}
  }

  show(text) {
    if (text === this.text) return;
    this.text = text;
    const { blocks, stable } = this.growing.update(text);
    const shown = this.shown.slice(0, stable);
    for (let i = stable; i < blocks.length; ++i) shown.push(this.place(blocks[i], this.shown[i]));
    for (const old of this.shown.slice(blocks.length)) old.element.remove();
    this.shown = shown;
  }

  // In the place of what stood there; what only grew keeps its element (and the reader's selection).
  place(block, old) {
    if (old && grown(old.element, old.block, block)) return { block, element: old.element };
    const element = blockElement(block);
    if (old) old.element.replaceWith(element);
    else this.element.append(element);
    return { block, element };
  }
}

// Whether the element of the block that was is that of the one that is, or could be made so by what changed at its end.
function grown(element, was, is) {
  if (same(was, is)) return true;
  if (was.type !== is.type) return false;
  switch (is.type) {
    case 'code': return was.language === is.language && grownText(element.querySelector('code'), was.text, is.text);
    case 'quote': return grownChildren(element, was.blocks, is.blocks, blockElement);
    case 'list':
      return was.ordered === is.ordered && was.start === is.start && was.loose === is.loose &&
        grownChildren(element, was.items, is.items, (item) => itemElement(item, is.loose));
    case 'table':
      return same(was.names, is.names) && same(was.align, is.align) &&
        grownChildren(element.querySelector('tbody'), was.rows, is.rows, (row) => rowElement(is, row));
    default: return false;
  }
}

function grownText(code, was, is) {
  if (is.startsWith(was) && code.firstChild) code.firstChild.appendData(is.slice(was.length));
  else code.textContent = is;
  return true;
}

// Those at the beginning that are as they were stay.
function grownChildren(parent, was, is, make) {
  let kept = 0;
  while (kept < was.length && kept < is.length && same(was[kept], is[kept])) ++kept;
  while (parent.children.length > kept) parent.lastElementChild.remove();
  parent.append(...is.slice(kept).map(make));
  return true;
}

// Of plain objects; where a block begins does not count.
function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name === 'line' || same(a[name], b[name]));
}

function blockElement(block) {
  switch (block.type) {
    case 'heading': return el(`h${Math.min(6, block.level + 2)}`, {}, inlineNodes(block.text));
    case 'rule': return el('hr');
    case 'code': return codeElement(block);
    case 'quote': return el('blockquote', {}, block.blocks.map(blockElement));
    case 'list': return listElement(block);
    case 'table': return tableElement(block);
    default: return el('p', {}, inlineNodes(block.text));
  }
}

// The button copies the text as it then is.
function codeElement(block) {
  const code = el('code', {}, block.text);
  return el('figure', { class: 'code' },
    el('figcaption', {}, el('span', {}, block.language || 'text'), copyButton('Copy this code', () => code.textContent)),
    el('pre', { tabindex: '0', role: 'group', 'aria-label': 'Code' }, code));
}

function listElement(list) {
  const attributes = list.ordered && list.start !== 1 ? { start: list.start } : {};
  return el(list.ordered ? 'ol' : 'ul', attributes, list.items.map((item) => itemElement(item, list.loose)));
}

function itemElement(item, loose) {
  const box = item.done === null ? null
    : el('input', { type: 'checkbox', disabled: true, checked: item.done, 'aria-label': item.done ? 'done' : 'to do' });
  return el('li', { class: box ? 'task' : null }, box, item.blocks.map((block) =>
    !loose && block.type === 'paragraph' ? inlineNodes(block.text) : blockElement(block)));
}

function tableElement(table) {
  const names = table.names.map((name, i) => el('th', { class: alignOf(table, i), scope: 'col' }, inlineNodes(name)));
  return el('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': 'Table' },
    el('table', {}, el('thead', {}, el('tr', {}, names)), el('tbody', {}, table.rows.map((row) => rowElement(table, row)))));
}

const alignOf = (table, i) => (table.align[i] ? `align-${table.align[i]}` : null);

// What a row lacks is one cell: a short line makes few elements, however wide the table is.
function rowElement(table, row) {
  const lacks = table.names.length - row.length;
  const rest = lacks > 0 ? el('td', { class: alignOf(table, row.length), colspan: lacks > 1 ? lacks : null }) : null;
  return el('tr', {}, row.map((cell, i) => el('td', { class: alignOf(table, i) }, inlineNodes(cell))), rest);
}

const inlineNodes = (text) => parseInline(text).map(inlineNode);

const TAGS = { emphasis: 'em', strong: 'strong', strike: 's' };

function inlineNode(node) {
  switch (node.type) {
    case 'text': return document.createTextNode(node.text);
    case 'break': return el('br');
    case 'code': return el('code', {}, node.text);
    case 'link':
      return el('a', { href: node.href, rel: 'noopener noreferrer', target: '_blank' }, node.children.map(inlineNode));
    default: return el(TAGS[node.type], {}, node.children.map(inlineNode));
  }
}
