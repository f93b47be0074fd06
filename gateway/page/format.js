// Numbers as people read them. Money is integers of nano-dollars, as the ledger has it.

const NANO = 1000000000;

// "0.000000075" (of the API's price list) is 75; exact.
export function nanoFromDecimal(text) {
  const found = /^(\d{1,6})(?:\.(\d{1,9}))?$/.exec(String(text));
  return found ? Number(found[1]) * NANO + Number((found[2] ?? '').padEnd(9, '0')) : null;
}

// A usage's estimated_cost is nano-dollars / 10^9 as a JSON number: rounding gives them back.
export const nanoFromCost = (cost) => (typeof cost === 'number' ? Math.round(cost * NANO) : null);

// Exact, without the zeros at its end: $0.00003.
export function dollars(nano) {
  if (nano === null || nano === undefined) return '–';
  const whole = Math.floor(nano / NANO), part = String(nano % NANO).padStart(9, '0').replace(/0+$/, '');
  return `$${whole}${part === '' ? '' : `.${part}`}`;
}

// Of a million tokens, as price lists say it: $0.075.
export function perMillion(nanoPerToken) {
  if (nanoPerToken === null) return '–';
  const thousandths = nanoPerToken;  // nano-dollars a token are thousandths of a dollar a million
  const text = (thousandths / 1000).toFixed(3).replace(/0$/, '');
  return `$${text}`;
}

// JSON that every reader takes: a lone half of a surrogate pair is no text, and becomes U+FFFD as it would in a form.
export const soundJson = (value, indent) => JSON.stringify(value, (_, part) => (typeof part === 'string' ? part.toWellFormed() : part), indent);

export const count = (n) => (n === null || n === undefined ? '–' : Number(n).toLocaleString('en-US'));

// 131072 is 128k, 8192 is 8k, 100000 is 100k: contexts are told so.
export const shortCount = (n) => (n >= 1000000 ? `${trim(n / 1048576)}M` : n >= 1000 ? `${Math.floor(n / (n % 1024 ? 1000 : 1024))}k` : String(n));

const trim = (n) => n.toFixed(1).replace(/\.0$/, '');

export function seconds(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export const rate = (n) => (n === null || n === undefined || !Number.isFinite(n) ? '–' : n >= 100 ? count(Math.round(n)) : n.toFixed(1));

// 0.99987 is 99.98 %: never more than it was.
export const share = (part) => (typeof part === 'number' ? `${(Math.floor(part * 10000 + 1e-9) / 100).toFixed(2).replace(/\.?0+$/, '')} %` : '–');

export function when(ms) {
  const date = new Date(ms), now = new Date();
  return date.toDateString() === now.toDateString()
    ? date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : date.toLocaleDateString([], { day: 'numeric', month: 'short', year: date.getFullYear() === now.getFullYear() ? undefined : 'numeric' });
}
