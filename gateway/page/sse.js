// Server-sent events out of bytes, however they are cut: lines end in LF, CR or CRLF, a character may come in two pieces,
// comments (": keep-alive") may stand anywhere, an event is over at its empty line.

const MOST_OF_AN_EVENT = 8 << 20;  // characters

export class SseParser {
  // onEvent({event, data, id}), onComment(text)
  constructor(onEvent, onComment = () => {}) {
    this.onEvent = onEvent;
    this.onComment = onComment;
    this.decoder = new TextDecoder();
    this.line = [];  // the pieces of a line that has no end yet
    this.size = 0;   // of what is held
    this.afterCr = false;
    this.clear();
  }

  clear() {
    this.data = null;
    this.event = 'message';
    this.id = '';
  }

  push(bytes) {
    this.text(this.decoder.decode(bytes, { stream: true }));
  }

  // What has no empty line behind it when the stream ends was cut, and is none.
  end() {
    this.text(this.decoder.decode());
  }

  text(text) {
    let start = 0;
    if (this.afterCr && text !== '') {
      if (text[0] === '\n') start = 1;
      this.afterCr = false;
    }
    const ends = /\r\n|\r|\n/g;
    ends.lastIndex = start;
    for (let found = ends.exec(text); found !== null; found = ends.exec(text)) {
      this.line.push(text.slice(start, found.index));
      start = ends.lastIndex;
      if (found[0] === '\r' && start === text.length) this.afterCr = true;
      const line = this.line.join('');
      this.line = [];
      this.take(line);
    }
    this.line.push(text.slice(start));
    this.size += text.length - start;
    if (this.size > MOST_OF_AN_EVENT) throw new Error('an event of the stream is too long');
  }

  take(line) {
    if (line === '') {
      const event = { event: this.event, data: this.data === null ? null : this.data.join('\n'), id: this.id };
      this.clear();
      this.size = 0;
      if (event.data !== null) this.onEvent(event);
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) {
      this.onComment(line.slice(1).trim());
      return;
    }
    this.size += line.length;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') (this.data ??= []).push(value);
    if (field === 'event') this.event = value;
    if (field === 'id') this.id = value;
  }
}
