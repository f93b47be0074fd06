// Markdown into a tree of plain objects, block by block: headings, paragraphs, lists, tables, fences, quotes, rules. What
// a model writes is hostile or half there: nothing is HTML, depth is bounded, and each line is read once for each level.
// inline.js reads what stands within a block, markdown_view.js makes elements.

const DEPTH = 12;           // of lists and quotes within one another; what lies deeper is text
const MOST_COLUMNS = 64;

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|\t|$)/;
const QUOTE = /^ {0,3}> ?/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?(?:[ \t]*\|[ \t]*:?-+:?)*(?:[ \t]*\|)?$/;  // of a line without blanks around
const TASK = /^\[([ xX])\][ \t]+/;

// [{type, ..., line}]: `line` is where the block begins.
export function parseMarkdown(text) {
  return parseLines(text.replace(/\r\n?/g, '\n').split('\n'), 0);
}

// The same of a text that grows at its end: only its last two blocks are read again. ("2" behind a list is a paragraph
// until its dot comes.)
export class GrowingMarkdown {
  constructor() {
    this.blocks = [];
    this.stable = 0;   // blocks that stay
    this.offset = 0;   // of the first that may change
    this.text = '';
  }

  // The blocks; `stable` says how many were there before, as they are.
  update(text) {
    if (!text.startsWith(this.text)) {
      this.blocks = [];
      this.stable = this.offset = 0;
    }
    this.text = text;
    const tail = text.slice(this.offset);
    const lines = tail.split(/\r\n|\r|\n/);
    const fresh = parseLines(lines, 0);
    this.blocks = [...this.blocks.slice(0, this.stable), ...fresh];
    const stable = this.stable;
    if (fresh.length > 2) {
      this.stable = this.blocks.length - 2;
      this.offset += lengthOfLines(tail, fresh[fresh.length - 2].line);
    }
    return { blocks: this.blocks, stable };
  }
}

function lengthOfLines(text, count) {
  const ends = /\r\n|\r|\n/g;
  for (let i = 0; i < count; ++i) ends.exec(text);
  return ends.lastIndex;
}

const isTableRule = (line) => TABLE_RULE.test(line.trim());

// Without the marks that may close it.
function headingText(rest) {
  const text = rest.trim();
  let end = text.length;
  while (text[end - 1] === '#') --end;
  if (end === text.length || (end > 0 && !/[ \t]/.test(text[end - 1]))) return text;
  return text.slice(0, end).trimEnd();
}

const isBlank = (line) => /^[ \t]*$/.test(line);

function parseLines(lines, depth) {
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at])) {
      ++at;
      continue;
    }
    const [block, next] = parseBlock(lines, at, depth);
    block.line = at;
    blocks.push(block);
    at = next;
  }
  return blocks;
}

function parseBlock(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence && !(fence[2][0] === '`' && fence[3].includes('`'))) return parseFence(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [{ type: 'heading', level: heading[1].length, text: headingText(line.slice(heading[0].length)) }, at + 1];
  if (RULE.test(line)) return [{ type: 'rule' }, at + 1];
  if (depth < DEPTH && QUOTE.test(line)) return parseQuote(lines, at, depth);
  if (depth < DEPTH && ITEM.test(line)) return parseList(lines, at, depth);
  if (at + 1 < lines.length && line.includes('|') && isTableRule(lines[at + 1])) {
    const table = parseTable(lines, at);
    if (table) return table;
  }
  if (/^(?: {4}|\t)/.test(line)) return parseIndented(lines, at);
  return parseParagraph(lines, at, depth);
}

// One that has no end yet goes to the end of the text.
function parseFence(lines, at, [, indent, mark, info]) {
  const closing = new RegExp(`^ {0,3}${mark[0] === '`' ? '`' : '~'}{${mark.length},}[ \\t]*$`);
  const body = [];
  let closed = false;
  for (++at; at < lines.length; ++at) {
    if (closing.test(lines[at])) {
      closed = true;
      ++at;
      break;
    }
    body.push(dedent(lines[at], indent.length));
  }
  const language = /^[\w.+#-]{1,40}/.exec(info)?.[0] ?? '';
  return [{ type: 'code', language, text: body.join('\n'), closed }, at];
}

function parseIndented(lines, at) {
  const body = [];
  for (; at < lines.length && (isBlank(lines[at]) || /^(?: {4}|\t)/.test(lines[at])); ++at) {
    body.push(dedent(lines[at], 4));
  }
  while (isBlank(body[body.length - 1])) body.pop();
  return [{ type: 'code', language: '', text: body.join('\n'), closed: true }, at];
}

// Without up to `width` blanks; a tab counts as four.
function dedent(line, width) {
  let taken = 0, i = 0;
  while (taken < width && i < line.length) {
    if (line[i] === ' ') taken += 1;
    else if (line[i] === '\t') taken += 4;
    else break;
    ++i;
  }
  return ' '.repeat(Math.max(0, taken - width)) + line.slice(i);
}

function parseQuote(lines, at, depth) {
  const body = [];
  for (; at < lines.length; ++at) {
    const line = lines[at];
    if (QUOTE.test(line)) {
      body.push(line.replace(QUOTE, ''));
    } else if (!isBlank(line) && isPlain(line) && body.length > 0 && isLazy(body[body.length - 1])) {
      body.push(line);
    } else {
      break;
    }
  }
  return [{ type: 'quote', blocks: parseLines(body, depth + 1) }, at];
}

const isLazy = (line) => !isBlank(line) && isPlain(line);

// Begins no block of its own.
function isPlain(line) {
  return !(HEADING.test(line) || RULE.test(line) || FENCE.test(line) || ITEM.test(line) || QUOTE.test(line));
}

const isOrdered = (mark) => /\d/.test(mark);

function sameList(item, mark) {
  const other = item[2];
  return isOrdered(mark) ? isOrdered(other) && other.at(-1) === mark.at(-1) : other === mark;
}

function parseList(lines, at, depth) {
  const first = ITEM.exec(lines[at]);
  const mark = first[2];
  const list = { type: 'list', ordered: isOrdered(mark), start: parseInt(mark, 10) || 0, loose: false, items: [] };
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || RULE.test(lines[at]) || !sameList(item, mark)) break;
    const [body, next, loose] = itemLines(lines, at, item);
    const task = TASK.exec(body[0]);
    if (task) body[0] = body[0].slice(task[0].length);
    list.items.push({ done: task ? task[1] !== ' ' : null, blocks: parseLines(body, depth + 1) });
    let after = next;
    while (after < lines.length && isBlank(lines[after])) ++after;
    const following = after < lines.length ? ITEM.exec(lines[after]) : null;
    const goesOn = following && sameList(following, mark) && !RULE.test(lines[after]);
    if (loose || (goesOn && after > next)) list.loose = true;
    at = goesOn ? after : next;
  }
  return [list, at];
}

// The lines of an item without its mark and indentation, where the next thing begins, and whether a blank line parts it.
function itemLines(lines, at, item) {
  const pad = item[3] === '' || item[3].length > 4 || item[3] === '\t' ? 1 : item[3].length;
  const width = item[1].length + item[2].length + pad;
  const body = [lines[at].slice(item[0].length)];
  if (item[3].length > 4) body[0] = item[3].slice(1) + body[0];
  let blanks = 0, loose = false;
  let fence = null;  // the fence that is open within it
  for (++at; at < lines.length; ++at) {
    const line = lines[at];
    if (isBlank(line)) {
      ++blanks;
      continue;
    }
    const indent = /^[ \t]*/.exec(line)[0].replace(/\t/g, '    ').length;
    // A nested list is often indented by less than its parent's text: two blanks, or three, will do.
    const within = indent >= width || (indent >= 2 && !fence && ITEM.test(line.trimStart()));
    if (!within && (blanks > 0 || fence || !isPlain(line))) break;
    if (blanks > 0) {
      for (; blanks > 0; --blanks) body.push('');
      if (!fence) loose = true;
    }
    const inner = within ? dedent(line, Math.min(indent, width)) : line;
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(inner)?.[1];
    if (mark) fence = fence === null ? mark : mark.startsWith(fence) ? null : fence;
    body.push(inner);
  }
  return [body, at - blanks, loose];
}

function parseTable(lines, at) {
  const names = cellsOf(lines[at]);
  const align = cellsOf(lines[at + 1]).map((cell) => {
    const left = cell.startsWith(':'), right = cell.endsWith(':');
    return left && right ? 'center' : right ? 'right' : left ? 'left' : '';
  });
  if (names.length !== align.length || names.length > MOST_COLUMNS) return null;
  const rows = [];
  for (at += 2; at < lines.length && !isBlank(lines[at]) && isPlain(lines[at]); ++at) {
    rows.push(cellsOf(lines[at]).slice(0, names.length));
  }
  return [{ type: 'table', names, align, rows }, at];
}

// By bars that no backslash stands before.
function cellsOf(line) {
  let row = line.trim();
  if (row.startsWith('|')) row = row.slice(1);
  if (row.endsWith('|') && !row.endsWith('\\|')) row = row.slice(0, -1);
  const cells = [''];
  for (let i = 0; i < row.length; ++i) {
    if (row[i] === '\\' && row[i + 1] === '|') {
      cells[cells.length - 1] += '|';
      ++i;
    } else if (row[i] === '|') {
      cells.push('');
    } else {
      cells[cells.length - 1] += row[i];
    }
  }
  return cells.map((cell) => cell.trim());
}

function parseParagraph(lines, at, depth) {
  const body = [lines[at].trimStart()];
  for (++at; at < lines.length; ++at) {
    const line = lines[at];
    const setext = /^ {0,3}(=+|-+)[ \t]*$/.exec(line);
    if (setext) return [{ type: 'heading', level: setext[1][0] === '=' ? 1 : 2, text: body.join('\n') }, at + 1];
    if (isBlank(line) || endsParagraph(line, depth)) break;
    if (line.includes('|') && at + 1 < lines.length && isTableRule(lines[at + 1])) break;
    body.push(line.trimStart());
  }
  return [{ type: 'paragraph', text: body.join('\n') }, at];
}

function endsParagraph(line, depth) {
  if (HEADING.test(line) || RULE.test(line) || FENCE.test(line)) return true;
  if (depth >= DEPTH) return false;
  if (QUOTE.test(line)) return true;
  const item = ITEM.exec(line);
  // A number within a text begins no list, but one that begins with 1.
  return item !== null && item[3] !== '' && (!isOrdered(item[2]) || parseInt(item[2], 10) === 1);
}
