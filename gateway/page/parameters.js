// Every parameter of a chat request that the drawer shows, with its range and what holds where it is absent, as
// docs/API.md says them. A value is kept as what was typed; read() makes of it what is sent, or says what is wrong.

const number = (name, min, max, absent, help) => ({ name, kind: 'number', min, max, absent, help });
const integer = (name, min, max, absent, help) => ({ name, kind: 'integer', min, max, absent, help });
const flag = (name, absent, help) => ({ name, kind: 'flag', absent, help });
const words = (name, options, absent, help) => ({ name, kind: 'words', options, absent, help });
const text = (name, absent, help, read) => ({ name, kind: 'text', absent, help, read });

const MODELS = 'model’s';

export const GROUPS = [
  {
    title: 'Sampling',
    parameters: [
      number('temperature', 0, 2, MODELS, '0 takes the likeliest token each time'),
      number('top_p', 0, 1, MODELS, 'the likeliest tokens that have this much together'),
      integer('top_k', 0, 999, MODELS, 'so many of the likeliest; 0: off'),
      number('min_p', 0, 1, MODELS, 'at least this share of the likeliest one’s'),
      number('repetition_penalty', 0.01, 5, MODELS, 'above 1: less of what is in prompt and answer'),
      number('presence_penalty', -2, 2, '0', 'on what the answer has'),
      number('frequency_penalty', -2, 2, '0', 'on what the answer has, each time'),
      text('seed', 'drawn here', 'an integer: the same request gives the same tokens', readSeed),
    ],
  },
  {
    title: 'Length',
    parameters: [
      integer('max_tokens', 1, 1000000, 'what fits, up to 16,384', 'of the answer, reasoning too'),
      integer('min_tokens', 0, 1000000, '0', 'no end before so many'),
      text('stop', 'none', 'up to 16, one a line; never part of the answer', readStops),
      text('stop_token_ids', 'none', 'up to 64 ids', readIds),
      flag('ignore_eos', 'off', 'go on past the model’s own end'),
      flag('loop_guard', 'off', 'end an answer that goes in circles'),
    ],
  },
  {
    title: 'Reasoning',
    shownWhere: ({ capabilities }) => capabilities.reasoning,
    parameters: [
      words('reasoning_effort', ['none', 'minimal', 'low', 'medium', 'high'], 'default', 'absent: as the template has it; none: without; minimal, low, medium: up to 512, 2,048, 8,192 tokens'),
      integer('reasoning.max_tokens', 0, 1000000, 'none', 'a budget of thinking; its end is forced'),
      flag('reasoning.exclude', 'off', 'think, and leave it out of the answer'),
      flag('separate_reasoning', 'on', 'apart from the content'),
    ],
  },
  {
    title: 'More',
    parameters: [
      { ...integer('n', 1, 4, '1', 'answers, which become branches'), shownWhere: ({ compare }) => !compare },
      flag('logprobs', 'off', 'each token’s log-probability'),
      integer('top_logprobs', 0, 20, '0', 'of the likeliest in each place; with logprobs'),
      text('logit_bias', 'none', 'JSON: {"TOKEN_ID": -100..100}', readBias),
    ],
  },
];

// Those that the drawer shows: what it does not show is not sent. `context`: {capabilities: the model's, compare}.
export function groupsFor(context) {
  const isShown = ({ shownWhere = () => true }) => shownWhere(context);
  return GROUPS.filter(isShown).map((group) => ({ ...group, parameters: group.parameters.filter(isShown) }));
}

// {value} or {error}; neither: it is absent.
export function read(parameter, typed) {
  if (typed === undefined || typed === null || String(typed).trim() === '') return {};
  switch (parameter.kind) {
    case 'flag': return ['on', 'off'].includes(typed) ? { value: typed === 'on' } : { error: 'on or off' };
    case 'words': return parameter.options.includes(typed) ? { value: typed } : { error: `one of ${parameter.options.join(', ')}` };
    case 'text': return parameter.read(String(typed));
    default: return readNumber(parameter, /^[-+]?(?:\d+\.?\d*|\.\d+)$/.test(String(typed).trim()) ? Number(typed) : NaN);
  }
}

function readNumber({ kind, min, max }, value) {
  const fits = Number.isFinite(value) && value >= min && value <= max && (kind === 'number' || Number.isInteger(value));
  return fits ? { value } : { error: `${kind === 'number' ? 'a number' : 'an integer'} from ${min} to ${max}` };
}

// JSON numbers of a browser are exact up to 2^53: larger seeds are for other clients.
function readSeed(typed) {
  const value = Number(typed.trim());
  return /^-?\d+$/.test(typed.trim()) && Number.isSafeInteger(value) ? { value } : { error: 'an integer up to 2^53' };
}

function readStops(typed) {
  const stops = typed.split('\n').filter((line) => line !== '');
  if (stops.length === 0) return {};
  if (stops.length > 16) return { error: 'at most 16 lines' };
  const bytes = new TextEncoder();
  return stops.some((stop) => bytes.encode(stop).length > 1024) ? { error: 'at most 1,024 bytes each' } : { value: stops };
}

function readIds(typed) {
  const ids = typed.split(/[\s,]+/).filter((word) => word !== '').map(Number);
  if (ids.length === 0) return {};
  const sound = ids.length <= 64 && ids.every((id) => Number.isInteger(id) && id >= 0);
  return sound ? { value: ids } : { error: 'up to 64 token ids' };
}

function readBias(typed) {
  try {
    const value = JSON.parse(typed);
    const entries = Object.entries(value ?? []);
    const sound = value !== null && typeof value === 'object' && !Array.isArray(value) && entries.length <= 1024 &&
      entries.every(([id, bias]) => /^\d+$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100);
    return sound ? { value } : { error: 'an object of up to 1,024 ids, each -100 to 100' };
  } catch {
    return { error: 'no JSON' };
  }
}
