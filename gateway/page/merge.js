// One conversation that two tabs have changed: what this one has, what both began from, and what the other has stored.
// Nothing that anybody wrote is lost: what the other one lacks it may never have seen. Pure.
import { nextId } from './conversation.js';

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Brings what is stored into `mine`, whose nodes stay the objects that they are; those in `running` are this tab's to
// write. `bases`: what mine may have been before this tab changed it. {nodes, settings: whether they have changed here,
// ahead: whether there is what is not stored}.
export function mergeInto(mine, bases, stored, running) {
  const said = { nodes: false, settings: false, ahead: false };
  Object.assign(mine.removed, stored.removed);
  for (const id of idsOf(mine, stored)) {
    const { here, there } = { here: mine.nodes[id], there: stored.nodes[id] };
    if (running.has(id) || same(here, there)) continue;
    if (mergeNode(mine, bases.map(({ nodes }) => nodes[id]), here, there, id)) said.nodes = true;
    if (!same(mine.nodes[id], there)) said.ahead = true;
  }
  for (const parent of new Set([...Object.keys(mine.active), ...Object.keys(stored.active)])) {
    if (take(mine.active, bases.map(({ active }) => active), stored.active, parent)) said.nodes = true;
  }
  for (const name of ['title', 'model', 'compare', 'settings']) {
    if (take(mine, bases, stored, name)) said.settings = true;
  }
  mine.updated = Math.max(mine.updated, stored.updated);
  mine.last = Math.max(mine.last, stored.last);
  return said;
}

const idsOf = (...conversations) => [...new Set(conversations.flatMap(({ nodes }) => Object.keys(nodes)))].map(Number).sort((a, b) => a - b);

// Theirs, unless this tab has changed it. Whether that is another one.
function take(mine, bases, stored, name) {
  if (stored[name] === undefined || same(mine[name], stored[name])) return false;
  if (!bases.some((base) => same(mine[name], base[name]))) return false;
  mine[name] = stored[name];
  return true;
}

// Whether it changed anything here.
function mergeNode(mine, before, here, there, id) {
  const isBefore = (node) => before.some((one) => same(node, one));
  if (mine.removed[id]) {
    const isParent = Object.values(mine.nodes).some((node) => node.parent === id);
    if (!isParent) delete mine.nodes[id];
    return here !== undefined && !isParent;
  }
  if (there === undefined || (here && isBefore(there))) return false;
  if (here === undefined) {
    mine.nodes[id] = there;
  } else if (isBefore(here)) {
    if ((there.rev ?? 0) < (here.rev ?? 0)) return false;  // what that tab had not seen yet
    for (const name of Object.keys(here)) delete here[name];
    Object.assign(here, there);
  } else {
    const twin = nextId(mine);  // both have changed it: theirs becomes a branch beside it
    mine.last = twin;
    mine.nodes[twin] = { ...there, id: twin };
  }
  return true;
}
