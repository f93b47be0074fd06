// The two panels beside the stage: beside it where there is room, else sheets over it, with the rest out of reach.
import { icon } from './dom.js';
import { notes } from './store.js';

const PANELS = { sidebar: { wide: '(min-width: 901px)', icon: 'menu' }, drawer: { wide: '(min-width: 1181px)', icon: 'sliders' } };

export class Panels {
  constructor() {
    this.scrim = document.getElementById('scrim');
    this.scrim.addEventListener('click', () => this.closeSheet());
    for (const [name, { wide, icon: drawn }] of Object.entries(PANELS)) {
      const media = matchMedia(wide);
      this.button(name).append(icon(drawn));
      this.button(name).addEventListener('click', () => this.toggle(name));
      media.addEventListener('change', () => this.set(name, media.matches && this.liked(name)));
      this.set(name, media.matches && this.liked(name));
    }
    this.themeButton();
  }

  element = (name) => document.getElementById(name);
  button = (name) => document.getElementById(`open-${name}`);
  isOpen = (name) => !this.element(name).classList.contains('closed');
  isSheet = (name) => !matchMedia(PANELS[name].wide).matches;
  // Conversations are shown where there is room, settings where they were asked for.
  liked = (name) => (notes.get(name) ?? (name === 'sidebar' ? 'open' : 'closed')) === 'open';

  toggle(name) {
    if (this.isOpen(name)) this.close(name);
    else this.open(name);
  }

  open(name) {
    for (const other of Object.keys(PANELS)) if (other !== name && this.isSheet(other)) this.set(other, false);
    this.set(name, true);
    if (!this.isSheet(name)) notes.set(name, 'open');
    this.element(name).querySelector('button, input, select, textarea')?.focus();
  }

  close(name) {
    this.set(name, false);
    if (!this.isSheet(name)) notes.set(name, 'closed');
    this.button(name).focus();
  }

  // Whether there was one to close.
  closeSheet(only) {
    const sheets = Object.keys(PANELS).filter((name) => (!only || name === only) && this.isOpen(name) && this.isSheet(name));
    sheets.forEach((name) => this.close(name));
    return sheets.length > 0;
  }

  set(name, open) {
    this.element(name).classList.toggle('closed', !open);
    this.button(name).setAttribute('aria-expanded', String(open));
    const covered = Object.keys(PANELS).some((one) => this.isOpen(one) && this.isSheet(one));
    this.scrim.hidden = !covered;
    document.querySelector('.stage').inert = covered;
  }

  themeButton() {
    const root = document.documentElement, button = document.getElementById('theme');
    const names = { auto: ['auto', 'as the system has it'], light: ['sun', 'light'], dark: ['moon', 'dark'] };
    const show = () => {
      const [drawn, name] = names[root.dataset.theme];
      button.replaceChildren(icon(drawn));
      button.title = `Colours: ${name}`;
      button.setAttribute('aria-label', button.title);
    };
    root.addEventListener('theme', show);
    button.addEventListener('click', () => root.dispatchEvent(new CustomEvent('theme-next')));
    show();
  }
}
