// Asks for answers and keeps what comes in their nodes: what the page knows of a run, apart from how it looks.
import { addNode, pathTo } from './conversation.js';
import { bodyOfRun, drawSeed } from './request.js';
import { Run } from './run.js';

const SAVE_EVERY_MS = 1500;

export class Answers {
  // listener: {paramsOf(conversation, side), changed(node), began(node), ended(node), save(conversation)}
  constructor(listener) {
    this.listener = listener;
    this.running = new Map();  // nodes by their run
    this.tokens = new WeakMap();  // log-probabilities, by node: for this page's life only
    this.thoughts = new WeakMap();  // of nodes that think: {from, before}, by this page's own clock
  }

  isRunning(conversation) {
    return [...this.running.values()].some((one) => one.conversation === conversation);
  }

  // Ids of its nodes that are being written.
  runningIn(conversation) {
    const all = [...this.running.values()].filter((one) => one.conversation === conversation);
    return new Set(all.flatMap(({ nodes }) => nodes.map((node) => node.id)));
  }

  stop(conversation) {
    for (const [run, one] of this.running) {
      if (one.conversation === conversation) run.stop();
    }
  }

  // One answer for each of the settings, beside one another. Several choices of one request are branches.
  ask(conversation, parent) {
    const sides = conversation.compare ? [0, 1] : [0];
    const made = sides.map((side) => this.prepare(conversation, parent, side));
    if (made.length > 1) made.flat().forEach((node) => { node.pair = made[0][0].id; });
    conversation.active[parent] = made[0][0].id;
    for (const nodes of made) this.start(conversation, nodes);
  }

  // Another answer in the place of this one.
  askAgain(conversation, node) {
    this.start(conversation, this.prepare(conversation, node.parent, sideOf(conversation, node)));
  }

  // What the settings ask for now.
  runOf(conversation, side) {
    const params = { ...this.listener.paramsOf(conversation, side).params };
    params.seed ??= drawSeed();
    return { model: conversation.model, system: conversation.settings[side].system, params };
  }

  prepare(conversation, parent, side) {
    const run = this.runOf(conversation, side);
    const choices = run.params.n ?? 1;
    if (choices === 1) delete run.params.n;
    return Array.from({ length: choices }, () =>
      addNode(conversation, parent, { role: 'assistant', content: '', reasoning: '', state: 'running', side, runs: [{ ...run }] }));
  }

  // What is there stays, and more comes behind it.
  goOn(conversation, node) {
    const run = this.runOf(conversation, sideOf(conversation, node));
    delete run.params.n;  // it is one answer that goes on
    node.runs.push({ ...run, from: { content: node.content.length, reasoning: node.reasoning.length } });
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
    node.rev = (node.rev ?? 0) + 1;
    if (delta.reasoning_content) {
      this.think(node);
      node.reasoning += delta.reasoning_content;
    }
    if (delta.content || delta.tool_calls) this.endThought(node);
    if (delta.content) node.content += delta.content;
    for (const part of delta.tool_calls ?? []) {
      node.calls ??= [];
      if (!(part.index >= 0 && part.index <= node.calls.length)) continue;  // they begin one after the other
      const call = (node.calls[part.index] ??= { id: '', name: '', arguments: '' });
      call.id ||= part.id ?? '';
      call.name ||= part.function?.name ?? '';
      call.arguments += part.function?.arguments ?? '';
    }
    if (!logprobs?.content) return;
    if (!this.tokens.has(node)) this.tokens.set(node, []);
    this.tokens.get(node).push(...logprobs.content);
  }

  think(node) {
    if (!this.thoughts.has(node)) this.thoughts.set(node, { from: performance.now(), before: node.thought_ms ?? 0 });
    const { from, before } = this.thoughts.get(node);
    node.thought_ms = before + performance.now() - from;
  }

  endThought(node) {
    if (!this.thoughts.has(node)) return;
    this.think(node);
    this.thoughts.delete(node);
  }

  end(node, run, result, choice) {
    const { ended, error, ...numbers } = result;
    const finish = run.finishes.get(choice);
    this.endThought(node);
    delete node.queued;
    node.rev = (node.rev ?? 0) + 1;
    node.state = 'ended';
    node.finish = ended === 'done' ? finish?.reason ?? 'stop' : ended;
    node.error = error ?? undefined;
    // A request's numbers are said once: with its first choice.
    Object.assign(node.runs.at(-1), numbers, { details: finish?.details ?? null }, choice === 0 ? {} : { cost_nano: 0 });
  }
}

// Whose settings the drawer shows for it: the second ones are there only beside the first.
const sideOf = (conversation, node) => (conversation.compare ? node.side ?? 0 : 0);

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
