// One streamed answer: asks, reads the events, tells what comes, and measures. A run ends once: with `done`, or with an
// error that says whether the server or the connection ended it, or because its user stopped it.
import { ApiError, openChat, wordsOf } from './api.js';
import { nanoFromCost } from './format.js';
import { SseParser } from './sse.js';

export class Run {
  // `listener`: onDelta(choice, delta), onWaiting(), called as things come. `body` has stream: true.
  constructor(body, listener) {
    this.body = body;
    this.listener = listener;
    this.abort = new AbortController();
    this.stopped = false;
    this.usage = null;
    this.finishes = new Map();  // by choice
    this.requestId = '';
    this.waited = false;
    this.begun = performance.now();
    this.first = null;          // when its first delta came,
    this.last = null;           // and its last
  }

  stop() {
    this.stopped = true;
    this.abort.abort();
  }

  // {ended: 'done' | 'stopped' | 'failed', error, ...}
  async start() {
    try {
      const reply = await openChat(this.body, this.abort.signal);
      this.requestId = reply.headers.get('x-request-id') ?? '';
      await this.read(reply.body.getReader());
      return this.result('done');
    } catch (error) {
      this.abort.abort();
      if (this.stopped) return this.result('stopped');
      const known = error instanceof ApiError ? error : new ApiError(0, this.lost(error), 'connection_lost', this.requestId);
      this.requestId ||= known.requestId;
      return this.result('failed', known);
    }
  }

  lost(error) {
    return this.first === null && !this.requestId ? 'The server can’t be reached.' : `The connection was lost before the answer’s end (${error.message}).`;
  }

  async read(reader) {
    let done = false, failure = null;
    const parser = new SseParser((event) => {
      if (event.data === '[DONE]') done = true;
      else if (!done) failure ??= this.take(event.data);
    }, () => {
      this.waited ||= this.first === null;
      this.listener.onWaiting();
    });
    while (!done && !failure) {
      const { value, done: over } = await reader.read();
      if (over) {
        parser.end();
        break;
      }
      parser.push(value);
    }
    if (failure) throw failure;
    if (!done) throw new Error('it ended in the middle');
    reader.cancel().catch(() => {});
  }

  // The error that an event is, if it is one.
  take(data) {
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      return new ApiError(0, 'The server sent an event that can’t be read.', 'broken_event', this.requestId);
    }
    if (chunk === null || typeof chunk !== 'object') return new ApiError(0, 'The server sent an event that can’t be read.', 'broken_event', this.requestId);
    if (chunk.error) return new ApiError(0, wordsOf(chunk.error) ?? 'The server sent an error without words.', chunk.error.code ?? chunk.error.type, this.requestId);
    if (chunk.usage) this.usage = chunk.usage;
    for (const choice of chunk.choices ?? []) {
      const { delta = {} } = choice;
      if (delta.content || delta.reasoning_content || delta.tool_calls) {
        this.last = performance.now();
        this.first ??= this.last;
        this.listener.onDelta(choice.index, delta, choice.logprobs);
      }
      if (choice.finish_reason) this.finishes.set(choice.index, { reason: choice.finish_reason, details: choice.finish_details ?? null });
    }
    return null;
  }

  result(ended, error = null) {
    const usage = this.usage;
    const firstMs = this.first === null ? null : this.first - this.begun;
    const decodeMs = this.first === null ? null : this.last - this.first;
    const prompt = usage?.prompt_tokens ?? null, cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
    const made = usage?.completion_tokens ?? null, reasoning = usage?.completion_tokens_details?.reasoning_tokens ?? null;
    const hidden = this.body.reasoning?.exclude ? reasoning : 0;  // made before the first that came, if at all
    return {
      ended,
      error: error && { message: error.message, code: error.code, status: error.status },
      request_id: this.requestId,
      first_ms: firstMs,
      total_ms: performance.now() - this.begun,
      prompt, cached,
      completion: made,
      reasoning,
      cost_nano: nanoFromCost(usage?.estimated_cost),
      // By what this browser saw: the prompt's rate has the way in it. There is none where other things were waited for
      // too, or what came was one burst; and tokens that did not come are of no rate.
      prompt_rate: prompt - cached >= 8 && firstMs && hidden === 0 && !this.waited ? ((prompt - cached) * 1000) / firstMs : null,
      decode_rate: hidden !== null && made - hidden > 8 && decodeMs > 20 ? ((made - hidden - 1) * 1000) / decodeMs : null,
    };
  }
}
