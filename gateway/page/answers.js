// Asks for answers and keeps what comes in their nodes: what the page knows of a run, apart from how it looks.
import { addNode, pathTo } from './conversation.js';
import { Run } from './run.js';
import { bodyOfRun, drawSeed, paramsOf } from './request.js';

const SAVE_EVERY_MS = 1500;

export class Answers {
  // listener: {changed(node), began(node), ended(node), save(conversation)}
  constructor(listener) {
    this.listener = listener;
    this.running = new Map();  // nodes by their run
    this.tokens = new WeakMap();  // log-probabilities, by node: for this page's life only
  }

  isRunning(conversation) {
    return [...this.running.values()].some((one) => one.conversation === conversation);
  }

  stop(conversation) {
    for (const [run, one] of this.running) {
      if (one.conversation === conversation) run.stop();
    }
  }

  // One answer for each of the settings, beside one another. Several choices of one request are branches.
  ask(conversation, parent) {
    const sides = conversation.compare ? [0, 1] : [0];
    const pair = conversation.compare ? conversation.last + 1 : undefined;
    const made = sides.map((side) => this.prepare(conversation, parent, side, pair));
    conversation.active[parent] = made[0][0].id;
    for (const nodes of made) this.start(conversation, nodes);
  }

  // Another answer in the place of this one.
  askAgain(conversation, node) {
    const nodes = this.prepare(conversation, node.parent, node.side ?? 0, undefined);
    this.start(conversation, nodes);
  }

  prepare(conversation, parent, side, pair) {
    const settings = conversation.settings[side];
    const params = { ...paramsOf(settings).params };
    params.seed ??= drawSeed();
    const choices = pair === undefined ? params.n ?? 1 : 1;
    if (choices === 1) delete params.n;
    const run = { model: conversation.model, system: settings.system, params };
    return Array.from({ length: choices }, () =>
      addNode(conversation, parent, { role: 'assistant', content: '', reasoning: '', state: 'running', side, pair, runs: [{ ...run }] }));
  }

  // What is there stays, and more comes behind it.
  goOn(conversation, node) {
    const before = node.runs.at(-1);
    const { n, ...params } = before.params;
    const settings = conversation.settings[node.side ?? 0];
    params.seed = settings.values.seed ? paramsOf(settings).params.seed : drawSeed();
    node.runs.push({ model: before.model, system: before.system, params, from: { content: node.content.length, reasoning: node.reasoning.length } });
    Object.assign(node, { state: 'running', error: undefined, finish: undefined });
    this.start(conversation, [node]);
  }

  async start(conversation, nodes) {
    const first = nodes[0];
    const body = bodyOfRun(conversation, first, first.runs.at(-1));
    let saved = performance.now();
    const run = new Run(body, {
      onWaiting: () => {
        first.queued = true;
        this.listener.changed(first);
      },
      onDelta: (choice, delta, logprobs) => {
        const node = nodes[choice] ?? first;
        this.add(node, delta, logprobs);
        this.listener.changed(node);
        if (performance.now() - saved < SAVE_EVERY_MS) return;
        saved = performance.now();
        this.listener.save(conversation);
      },
    });
    this.running.set(run, { conversation, nodes });
    nodes.forEach((node) => this.listener.began(node));
    const result = await run.start();
    this.running.delete(run);
    nodes.forEach((node, choice) => {
      this.end(node, run, result, choice);
      this.listener.ended(node);
    });
    this.listener.save(conversation);
  }

  add(node, delta, logprobs) {
    if (delta.reasoning_content) {
      node.thought_from ??= performance.now();
      node.reasoning += delta.reasoning_content;
    }
    if (delta.content || delta.tool_calls) endThought(node);
    if (delta.content) node.content += delta.content;
    for (const part of delta.tool_calls ?? []) {
      node.calls ??= [];
      const call = (node.calls[part.index] ??= { id: '', name: '', arguments: '' });
      call.id ||= part.id ?? '';
      call.name ||= part.function?.name ?? '';
      call.arguments += part.function?.arguments ?? '';
    }
    if (!logprobs?.content) return;
    if (!this.tokens.has(node)) this.tokens.set(node, []);
    this.tokens.get(node).push(...logprobs.content);
  }

  end(node, run, result, choice) {
    const { ended, error, ...numbers } = result;
    const finish = run.finishes.get(choice);
    endThought(node);
    delete node.queued;
    node.state = 'ended';
    node.finish = ended === 'done' ? finish?.reason ?? 'stop' : ended;
    node.error = error ?? undefined;
    // A request's numbers are said once: with its first choice.
    Object.assign(node.runs.at(-1), numbers, { details: finish?.details ?? null }, choice === 0 ? {} : { cost_nano: 0 });
  }
}

function endThought(node) {
  if (node.thought_from === undefined) return;
  node.thought_ms = (node.thought_ms ?? 0) + performance.now() - node.thought_from;
  delete node.thought_from;
}

// As a run's result says it: of one that nobody saw the end of.
const UNSEEN = { first_ms: null, total_ms: null, prompt: null, cached: null, completion: null, reasoning: null, cost_nano: null,
  prompt_rate: null, decode_rate: null };

// What a tab that ended left in the middle.
export function mendCut(conversation) {
  for (const node of Object.values(conversation.nodes)) {
    if (node.state !== 'running') continue;
    delete node.thought_from;
    node.runs.push({ ...UNSEEN, ...node.runs.pop(), cut: Boolean(node.content || node.reasoning) });
    Object.assign(node, { state: 'ended', finish: 'failed', error: { message: 'The page was left before the answer’s end.', code: 'page_left' } });
  }
}

// Of the path that ends with this node: tokens of its last answer's prompt and text, if they are known.
export function usedTokens(conversation, node) {
  const run = node && pathTo(conversation, node.id).findLast((one) => one.role === 'assistant')?.runs?.at(-1);
  return run?.prompt ? run.prompt + (run.completion ?? 0) : null;
}

// {nano, whole}: not the whole where an answer was cut, which says no cost; null: nothing is known.
export function spentOn(conversation) {
  const runs = Object.values(conversation.nodes).flatMap((node) => node.runs ?? []);
  const known = runs.filter((run) => run.cost_nano > 0);
  if (known.length === 0) return null;
  const cut = runs.some((run) => run.cost_nano === null && (run.cut || run.first_ms !== null));
  return { nano: known.reduce((sum, run) => sum + run.cost_nano, 0), whole: !cut };
}
