// The API reference, out of this server's own /openapi.json: a section for each operation and each schema, with an anchor.
import { copyButton, el } from './dom.js';
import { membersOf, said, schemaId, typeOf } from './docs_schema.js';
import { shellQuoted } from './snippets.js';

const resolve = (document_, value) => (value.$ref ? value.$ref.split('/').slice(1).reduce((at, key) => at[key], document_) : value);

function heading(level, id, ...content) {
  return el(`h${level}`, {}, el('a', { class: 'anchor', href: `#${id}` }, content));
}

function codeBlock(label, text) {
  return el('div', { class: 'docs-code' }, el('pre', { tabindex: 0, 'aria-label': label }, el('code', {}, text)), copyButton(`Copy ${label}`, text));
}

function curlOf(path, method, operation, example) {
  const url = new URL(path.slice(1).replace('{model}', 'MODEL'), location.href.replace(/[^/]*$/, ''));
  const lines = [`curl ${url.href}`];
  if (operation.security?.length !== 0) lines.push('-H "Authorization: Bearer $QUIRE_API_KEY"');
  if (method === 'post') lines.push("-H 'Content-Type: application/json'", `-d ${shellQuoted(JSON.stringify(example))}`);
  return lines.join(' \\\n  ');
}

function answersOf(document_, operation) {
  return el('table', { class: 'fields' },
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Status'), el('th', { scope: 'col' }, 'Answer'))),
    el('tbody', {}, Object.entries(operation.responses).map(([status, given]) => {
      const response = resolve(document_, given);
      return el('tr', {}, el('th', { scope: 'row' }, status), el('td', {}, el('p', {}, said(response.description)),
        Object.entries(response.content ?? {}).map(([media, { schema }]) =>
          el('div', {}, el('code', {}, media), ' ', typeOf(schema.properties?.data ?? schema)))));
    })));
}

function operationSection(document_, path, method, operation) {
  const body = operation.requestBody?.content['application/json'].schema;
  const bodies = body ? (body.anyOf ?? [body]) : [];
  const example = bodies.length ? resolve(document_, bodies[0]).examples?.[0] ?? {} : undefined;
  return el('section', { id: operation.operationId, class: 'operation' },
    heading(2, operation.operationId, el('span', { class: 'method' }, method.toUpperCase()), el('code', {}, path)),
    el('p', {}, operation.summary, '.'),
    operation['x-aliases'] && el('p', {}, 'Also at ', operation['x-aliases'].flatMap((alias, i) => [i ? ', ' : '', el('code', {}, alias)]), '.'),
    codeBlock(`curl of ${operation.operationId}`, curlOf(path, method, operation, example)),
    bodies.length > 0 && [el('h3', {}, 'Request'), el('p', {}, typeOf(body))],
    el('h3', {}, 'Answers'), answersOf(document_, operation));
}

function schemaSection(name, schema) {
  return el('section', { id: schemaId(name), class: 'schema' },
    heading(3, schemaId(name), name),
    schema.description && el('p', {}, said(schema.description)),
    membersOf(schema),
    schema.examples && codeBlock(`example of ${name}`, JSON.stringify(schema.examples[0], null, 2)));
}

function links(label, entries, open) {
  return el('details', { open }, el('summary', {}, label),
    el('ul', {}, entries.map(([id, text]) => el('li', {}, el('a', { href: `#${id}` }, text)))));
}

function render(document_) {
  const operations = Object.entries(document_.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => [path, method, operation]));
  const schemas = Object.entries(document_.components.schemas);
  document.getElementById('contents').replaceChildren(
    links('Operations', operations.map(([path, method, operation]) => [operation.operationId, `${method.toUpperCase()} ${path}`]), true),
    links('Schemas', schemas.map(([name]) => [schemaId(name), name]), innerWidth > 768));
  document.getElementById('reference').replaceChildren(
    el('p', {}, said(`Version ${document_.info.version}. ${document_.info.description}`)),
    ...operations.map((operation) => operationSection(document_, ...operation)),
    el('h2', {}, 'Schemas'),
    ...schemas.map(([name, schema]) => schemaSection(name, schema)));
  // Where the address names a section, it is there only now.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

document.getElementById('theme').addEventListener('click', () => document.documentElement.dispatchEvent(new Event('theme-next')));
try {
  const reply = await fetch('openapi.json');
  if (!reply.ok) throw new Error(`the server says ${reply.status}`);
  render(await reply.json());
} catch (error) {
  document.getElementById('reference').replaceChildren(el('p', { role: 'alert' }, `openapi.json can't be shown: ${error.message}. Reload the page to try again.`));
}
