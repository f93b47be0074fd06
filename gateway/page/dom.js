// Elements, made by name. Text is always text: nothing here or elsewhere in this folder reads HTML.

// el('a', {class: 'x', href: '/y', onclick: f, hidden: true}, 'text', other, [more])
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      node.addEventListener(name.slice(2), value);
    } else {
      node.setAttribute(name, value === true ? '' : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {  // not in one call: there may be more than a call takes
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

// These children in this order; one that is where it belongs is not touched, and keeps its focus and its scrolling.
export function place(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  children.forEach((child, i) => {
    if (parent.childNodes[i] !== child) parent.insertBefore(child, parent.childNodes[i] ?? null);
  });
}

const SVG = 'http://www.w3.org/2000/svg';

// Icons are strokes in a box of 16; `d` may hold several paths, split by '|'.
const ICONS = {
  copy: 'M6 6h7v8H6z|M10 6V2.5H3V10.5h3',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  menu: 'M2.5 4h11M2.5 8h11M2.5 12h11',
  sliders: 'M2.5 5h6M12 5h1.5M2.5 11h1.5M7.5 11h6|M10.25 3.25v3.5|M5.75 9.25v3.5',
  plus: 'M8 3v10M3 8h10',
  close: 'M4 4l8 8M12 4l-8 8',
  send: 'M8 13V3M3.5 7.5L8 3l4.5 4.5',
  stop: 'M4.5 4.5h7v7h-7z',
  retry: 'M13 8a5 5 0 1 1-1.6-3.7|M13 2.5v3h-3',
  edit: 'M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z',
  code: 'M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  left: 'M10 3.5L5.5 8l4.5 4.5',
  right: 'M6 3.5L10.5 8 6 12.5',
  play: 'M5 3.5l7.5 4.5L5 12.5z',
  key: 'M9.5 9.5a3.5 3.5 0 1 0-3-3L2.5 10.5v3h3v-2h2z',
  sun: 'M8 5.25a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5z|M8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  moon: 'M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z',
  auto: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z|M8 2v12M10.5 3v10M12.5 4.5v7',
  columns: 'M2.5 3h4.5v10H2.5zM9 3h4.5v10H9z',
  down: 'M3.5 6L8 10.5 12.5 6',
};

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', `icon icon-${name}`);
  for (const d of ICONS[name].split('|')) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

// A button of an icon alone has a label for those who don't see it, and the same as its tip.
export function iconButton(name, label, onclick, attributes = {}) {
  return el('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...attributes }, icon(name));
}

// Copies, and says so where the button is.
export function copyButton(label, text) {
  const button = iconButton('copy', label, async () => {
    const done = await copyText(typeof text === 'function' ? text() : text);
    button.replaceChildren(icon(done ? 'check' : 'close'));
    announce(done ? 'Copied' : 'Your browser does not let this page copy');
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
  });
  return button;
}

// Pages that come by plain http from another host have no clipboard: there the old way goes.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea', { class: 'offscreen', 'aria-hidden': 'true', readonly: true });
    const focused = document.activeElement;
    area.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(area);  // what is behind a dialog has no focus
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    focused?.focus();
    return done;
  }
}

// For screen readers, once; the live region is polite.
export function announce(text) {
  const region = document.getElementById('announcer');
  if (region) region.textContent = text;
}

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
