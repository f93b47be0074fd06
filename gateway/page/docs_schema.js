// A JSON Schema of /openapi.json as elements: what a value may be in words, and an object's members as a table.
import { el } from './dom.js';

const nameOf = (ref) => ref.split('/').pop();
export const schemaId = (name) => `schema-${name}`;
const code = (value) => el('code', {}, JSON.stringify(value));

// What stands between backquotes is code.
export const said = (text) => text.split('`').map((part, index) => (index % 2 ? el('code', {}, part) : part));

function joined(parts, glue) {
  return parts.flatMap((part, index) => (index ? [glue, part] : [part]));
}

// {"type": "number", "minimum": 0, "maximum": 2} -> "0 to 2"
function limitsOf(schema) {
  const range = (least, most, of) => {
    if (least === undefined && most === undefined) return [];
    if (least === undefined) return [`at most ${most}${of}`];
    return [most === undefined ? `at least ${least}${of}` : `${least} to ${most}${of}`];
  };
  return [
    ...range(schema.minimum, schema.maximum, ''),
    ...range(schema.minLength, schema.maxLength, schema['x-max-bytes'] ? ' bytes' : ' characters'),
    ...range(schema.minItems, schema.maxItems, ' items'),
    ...range(schema.minProperties, schema.maxProperties, ' members'),
    ...(schema.pattern ? [schema.pattern] : []),
  ].join(', ');
}

function plainType(schema) {
  const types = [schema.type ?? []].flat().filter((type) => type !== 'null');
  return types.flatMap((type, index) => {
    const word = type === 'array' && schema.items ? ['list of ', ...typeOf(schema.items)] : [type];
    return index ? [' or ', ...word] : word;
  });
}

// Nodes and texts. That null is absent goes without saying.
export function typeOf(schema) {
  if (schema.$ref) return [el('a', { href: `#${schemaId(nameOf(schema.$ref))}` }, nameOf(schema.$ref))];
  if ('const' in schema) return [code(schema.const)];
  if (schema.enum) return joined(schema.enum.filter((value) => value !== null).map(code), ' or ');
  const either = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => one.type !== 'null');
  if (either.length) return joined(either.map((one) => el('span', {}, typeOf(one))), ' or ');
  if (schema.contentSchema) return ['JSON of ', ...typeOf(schema.contentSchema)];
  const limits = limitsOf(schema);
  const words = plainType(schema);
  return [...(words.length ? words : ['anything']), limits && el('span', { class: 'limits' }, ` (${limits})`)];
}

function member(name, schema, required) {
  return el('tr', {},
    el('th', { scope: 'row' }, el('code', {}, name), required && el('span', { class: 'required' }, 'required')),
    el('td', {}, typeOf(schema),
      schema.default !== undefined && [' ', el('span', { class: 'limits' }, 'absent: ', code(schema.default))],
      schema.description && el('p', {}, said(schema.description)),
      schema.properties && membersOf(schema)));
}

// What an object has; of several forms each.
export function membersOf(schema) {
  const names = Object.entries(schema.properties ?? {});
  const variants = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => one.properties);
  return [
    names.length > 0 && el('table', { class: 'fields' },
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Name'), el('th', { scope: 'col' }, 'Value'))),
      el('tbody', {}, names.map(([name, one]) => member(name, one, (schema.required ?? []).includes(name))))),
    variants.map((one) => el('div', { class: 'variant' }, el('h4', {}, one.title ?? one.properties.type?.const ?? ''), membersOf(one))),
    !names.length && !variants.length && el('p', {}, typeOf(schema)),
  ];
}
