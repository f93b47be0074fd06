// What stands within a block of Markdown: emphasis, code, links, breaks; into [{type, text | children, href}]. Every pass
// is linear in the text: runs of backticks and brackets are paired with the help of what was seen, never by looking ahead
// again and again.

const MOST = 200000;          // characters; what is longer is text
const DEPTH = 24;             // of elements within one another
const MOST_BRACKETS = 64;     // open at once: of more, the first are text
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;

export function parseInline(text) {
  if (text.length > MOST) return [{ type: 'text', text }];
  return new Inline(text).parse();
}

// http and https alone: what a model writes is no place to run anything from.
export function safeHref(href) {
  const text = href.trim();
  if (!/^https?:\/\/[^\s]/i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

class Inline {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.nodes = [];      // text, elements that are whole, and delimiters of emphasis
    this.brackets = [];   // open: {index in nodes, image}
    this.idle = 0;        // so many of them, the first, are within no link's reach: a link came behind them
    this.plain = '';
    this.ticks = this.tickRuns();
  }

  // Where runs of backticks begin, by their length, from the last to the first.
  tickRuns() {
    const runs = new Map();
    for (const found of this.text.matchAll(/`+/g)) {
      const length = found[0].length;
      if (!runs.has(length)) runs.set(length, []);
      runs.get(length).push(found.index);
    }
    for (const starts of runs.values()) starts.reverse();
    return runs;
  }

  flush() {
    if (this.plain !== '') this.nodes.push({ type: 'text', text: this.plain });
    this.plain = '';
  }

  push(node) {
    this.flush();
    this.nodes.push(node);
  }

  parse() {
    const special = /[\\`*_~[\]!<\n]|https?:\/\//g;
    while (this.at < this.text.length) {
      special.lastIndex = this.at;
      const found = special.exec(this.text);
      const next = found === null ? this.text.length : found.index;
      this.plain += this.text.slice(this.at, next);
      this.at = next;
      if (found !== null && !this.take(found[0])) {
        this.plain += found[0];
        this.at += found[0].length;
      }
    }
    this.flush();
    return emphasize(this.nodes, 0);
  }

  // Whether it was anything: then `at` is behind it.
  take(mark) {
    switch (mark) {
      case '\\': return this.escape();
      case '`': return this.codeSpan();
      case '*': case '_': case '~': return this.delimiter(mark);
      case '[': return this.open(false);
      case '!': return this.text[this.at + 1] === '[' && this.open(true);
      case ']': return this.close();
      case '<': return this.angled();
      case '\n': return this.lineBreak();
      default: return this.bare();
    }
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === '\n') {
      this.push({ type: 'break' });
    } else if (next !== undefined && /[!-/:-@[-`{-~]/.test(next)) {
      this.plain += next;
    } else {
      return false;
    }
    this.at += 2;
    return true;
  }

  codeSpan() {
    let end = this.at;
    while (this.text[end] === '`') ++end;
    const length = end - this.at;
    const starts = this.ticks.get(length) ?? []; // of a run whose first one is escaped
    while (starts.length > 0 && starts.at(-1) <= this.at) starts.pop();
    if (starts.length === 0) {
      this.plain += '`'.repeat(length);
      this.at += length;
      return true;
    }
    const closing = starts.at(-1);
    let code = this.text.slice(this.at + length, closing).replace(/\n/g, ' ');
    if (code.startsWith(' ') && code.endsWith(' ') && code.trim() !== '') code = code.slice(1, -1);
    this.push({ type: 'code', text: code });
    this.at = closing + length;
    return true;
  }

  delimiter(mark) {
    let end = this.at;
    while (this.text[end] === mark) ++end;
    const count = end - this.at;
    if (mark === '~' && count !== 2) {
      this.plain += mark.repeat(count);
    } else {
      const before = this.at === 0 ? ' ' : this.text[this.at - 1], after = this.text[end] ?? ' ';
      const spaceBefore = /\s/.test(before), spaceAfter = /\s/.test(after);
      const markBefore = PUNCTUATION.test(before), markAfter = PUNCTUATION.test(after);
      const left = !spaceAfter && (!markAfter || spaceBefore || markBefore);
      const right = !spaceBefore && (!markBefore || spaceAfter || markAfter);
      const opens = mark === '_' ? left && (!right || markBefore) : left;
      const closes = mark === '_' ? right && (!left || markAfter) : right;
      this.push({ type: 'delimiter', mark, count, was: count, opens, closes });
    }
    this.at = end;
    return true;
  }

  open(image) {
    this.push({ type: 'text', text: image ? '![' : '[' });
    this.brackets.push({ index: this.nodes.length - 1, image });
    if (this.brackets.length > MOST_BRACKETS) {
      this.brackets.shift();
      this.idle = Math.max(0, this.idle - 1);
    }
    this.at += image ? 2 : 1;
    return true;
  }

  close() {
    const bracket = this.brackets.pop();
    if (bracket === undefined) return false;
    const isIdle = this.brackets.length < this.idle;
    this.idle = Math.min(this.idle, this.brackets.length);
    if (isIdle && !bracket.image) return false;
    const target = /\]\([ \t\n]{0,9}(?:<([^<>\n]{0,4096})>|((?:[^\s()\\]|\\.|\([^\s()]{0,999}\)){0,4096}))(?:[ \t\n]{1,9}(?:"[^"]{0,999}"|'[^']{0,999}'))?[ \t\n]{0,9}\)/y;
    target.lastIndex = this.at;
    const found = target.exec(this.text);
    const href = found && safeHref((found[1] ?? found[2]).replace(/\\([!-/:-@[-`{-~])/g, '$1'));
    if (!found || href === null) {
      if (found === null) return false;
      this.plain += found[0];  // a link to nowhere that one may go: its text, and what it says
      this.at += found[0].length;
      return true;
    }
    this.flush();
    const inner = this.nodes.splice(bracket.index);
    inner.shift();
    const children = emphasize(inner, 1);
    // No link within a link.
    if (!bracket.image) this.idle = this.brackets.length;
    // Of an image there is its text: the page loads nothing from elsewhere.
    const label = children.length > 0 ? children : [{ type: 'text', text: href }];
    this.nodes.push({ type: 'link', href, children: withoutLinks(label) });
    this.at += found[0].length;
    return true;
  }

  angled() {
    const address = /<(https?:\/\/[^\s<>]{1,2048})>/iy;
    address.lastIndex = this.at;
    const found = address.exec(this.text);
    const href = found && safeHref(found[1]);
    if (href) {
      this.push({ type: 'link', href, children: [{ type: 'text', text: found[1] }] });
      this.at += found[0].length;
      return true;
    }
    const br = /<br ?\/?>/iy;
    br.lastIndex = this.at;
    const line = br.exec(this.text);
    if (line === null) return false;
    this.push({ type: 'break' });
    this.at += line[0].length;
    return true;
  }

  lineBreak() {
    this.plain = this.plain.replace(/ {1,9}$/, '');
    this.push({ type: 'break' });
    ++this.at;
    return true;
  }

  bare() {
    if (this.at > 0 && /[\p{L}\p{N}]/u.test(this.text[this.at - 1])) return false;
    const address = /https?:\/\/[^\s<>"`*[\]{}|\\^]{1,2048}/y;
    address.lastIndex = this.at;
    const found = address.exec(this.text);
    if (found === null) return false;
    let shown = found[0].replace(/[.,:;!?'_~]{1,9}$/, '');
    if (shown.endsWith(')') && !shown.includes('(')) shown = shown.slice(0, -1);
    const href = safeHref(shown);
    if (href === null) {
      this.plain += found[0];
      this.at += found[0].length;
      return true;
    }
    this.push({ type: 'link', href, children: [{ type: 'text', text: shown }] });
    this.at += shown.length;
    return true;
  }
}

// The delimiters of a list of nodes become elements, or text. CommonMark's own way: for each closer the nearest opener,
// and where there was none, none is looked for again below.
function emphasize(nodes, depth) {
  const stack = [];
  const bottoms = new Map();
  const out = [];
  for (const node of nodes) {
    out.push(node);
    if (node.type !== 'delimiter') continue;
    if (node.closes) matchBack(node, stack, bottoms, out);
    if (node.count > 0 && node.opens) stack.push({ node, index: out.length - 1 });
  }
  return joined(out.map((node) => asText(node)), depth);
}

function matchBack(closer, stack, bottoms, out) {
  while (closer.count > 0) {
    const kind = `${closer.mark}${closer.opens}${closer.was % 3}`;
    const bottom = bottoms.get(kind) ?? 0;
    let at = stack.length - 1;
    while (at >= bottom && !fits(stack[at].node, closer)) --at;
    if (at < bottom) {
      bottoms.set(kind, stack.length);
      return;
    }
    const opener = stack[at];
    const width = closer.mark === '~' ? 2 : opener.node.count >= 2 && closer.count >= 2 ? 2 : 1;
    const type = closer.mark === '~' ? 'strike' : width === 2 ? 'strong' : 'emphasis';
    out.pop();
    const children = out.splice(opener.index + 1);
    opener.node.count -= width;
    closer.count -= width;
    stack.length = opener.node.count > 0 ? at + 1 : at;
    for (const [key, value] of bottoms) bottoms.set(key, Math.min(value, stack.length));
    if (opener.node.count === 0) out.pop();
    out.push({ type, children: children.map((node) => asText(node)) }, closer);
  }
}

function fits(opener, closer) {
  if (opener.mark !== closer.mark || opener.count === 0) return false;
  if (closer.mark === '~') return true;
  const both = (opener.closes || closer.opens) && (opener.was + closer.was) % 3 === 0;
  return !both || (opener.was % 3 === 0 && closer.was % 3 === 0);
}

const asText = (node) => (node.type === 'delimiter' ? { type: 'text', text: node.mark.repeat(node.count) } : node);

// Neighbouring texts as one; what lies too deep as text.
function joined(nodes, depth) {
  const out = [];
  for (const node of nodes) {
    const last = out.at(-1);
    if (node.type === 'text' && last?.type === 'text') {
      last.text += node.text;
    } else if (node.type === 'text') {
      if (node.text !== '') out.push({ ...node });
    } else if (node.children && depth >= DEPTH) {
      out.push({ type: 'text', text: textOf(node) });
    } else {
      out.push(node.children ? { ...node, children: joined(node.children, depth + 1) } : node);
    }
  }
  return out;
}

const withoutLinks = (nodes) =>
  nodes.flatMap((node) => (node.type === 'link' ? withoutLinks(node.children) : node.children
    ? [{ ...node, children: withoutLinks(node.children) }] : [node]));

// Not by recursion: it may be as deep as the text is long.
export function textOf(node) {
  let text = '';
  const open = [node];
  while (open.length > 0) {
    const next = open.pop();
    if (next.children) for (let i = next.children.length - 1; i >= 0; --i) open.push(next.children[i]);
    else text += next.type === 'break' ? '\n' : next.text ?? '';
  }
  return text;
}
