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
    const { blocks, stable } = this.growing.update(text);
    const shown = this.shown.slice(0, stable);
    for (let i = stable; i < blocks.length; ++i) shown.push(this.place(blocks[i], this.shown[i]));
    for (const old of this.shown.slice(blocks.length)) old.element.remove();
    this.shown = shown;
  }

  // In the place of what stood there; code that only grew keeps its element (and the reader's selection).
  place(block, old) {
    if (old && block.type === 'code' && old.block.type === 'code' && old.block.language === block.language) {
      old.element.querySelector('code').textContent = block.text;
      old.block.text = block.text;
      return old;
    }
    if (old && JSON.stringify({ ...old.block, line: 0 }) === JSON.stringify({ ...block, line: 0 })) return old;
    const element = blockElement(block);
    if (old) old.element.replaceWith(element);
    else this.element.append(element);
    return { block, element };
  }
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
    el('pre', { tabindex: '0' }, code));
}

function listElement(list) {
  const attributes = list.ordered && list.start !== 1 ? { start: list.start } : {};
  return el(list.ordered ? 'ol' : 'ul', attributes, list.items.map((item) => {
    const box = item.done === null ? null
      : el('input', { type: 'checkbox', disabled: true, checked: item.done, 'aria-label': item.done ? 'done' : 'to do' });
    return el('li', { class: box ? 'task' : null }, box, item.blocks.map((block) =>
      !list.loose && block.type === 'paragraph' ? inlineNodes(block.text) : blockElement(block)));
  }));
}

function tableElement(table) {
  const cells = (tag, row) => el('tr', {}, row.map((cell, i) =>
    el(tag, { class: table.align[i] ? `align-${table.align[i]}` : null, scope: tag === 'th' ? 'col' : null }, inlineNodes(cell))));
  return el('div', { class: 'table', tabindex: '0' },
    el('table', {}, el('thead', {}, cells('th', table.names)), el('tbody', {}, table.rows.map((row) => cells('td', row)))));
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
