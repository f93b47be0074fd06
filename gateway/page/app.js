// The page put together: which model, which conversation, who does what when something is pressed.
import { ApiError, BASE, keys, listModels } from './api.js';
import { Answers, mendCut, spentOn, usedTokens } from './answers.js';
import { ChatView } from './chat_view.js';
import { Composer } from './composer.js';
import { childrenOf, activate, addNode, emptySettings, newConversation, openCalls, removeNode, ROOT, shownPath } from './conversation.js';
import { askForKey, showCode, showShortcuts } from './dialogs.js';
import { announce, el, icon } from './dom.js';
import { Drawer } from './drawer.js';
import { count } from './format.js';
import { ModelCard } from './model_card.js';
import { bodyOf, bodyOfRun, messagesTo, paramsOf } from './request.js';
import { Sidebar } from './sidebar.js';
import { listConversations, loadConversation, notes, onStored, saveConversation } from './store.js';
import { snippets } from './snippets.js';
import { Panels } from './panels.js';

const $ = (id) => document.getElementById(id);

class App {
  constructor() {
    this.models = [];
    this.conversation = this.lastConversation();
    this.answers = new Answers({
      changed: (node) => this.chat.viewOf(node)?.later(),
      began: () => this.began(),
      ended: (node) => this.ended(node),
      save: (conversation) => this.save(conversation),
    });
    this.card = new ModelCard($('card'), (id) => this.choose(id));
    this.chat = new ChatView($('transcript'), $('scroller'), this.turnActs());
    this.composer = new Composer($('composer'), {
      send: (text) => this.send(text),
      stop: () => this.answers.stop(this.conversation),
      running: () => this.answers.isRunning(this.conversation),
      bodyWith: (text) => this.bodyWith(text),
      model: () => this.model,
      spent: () => spentOn(this.conversation),
      used: () => usedTokens(this.conversation, shownPath(this.conversation).at(-1)),
    });
    this.sidebar = new Sidebar($('sidebar'), {
      current: () => this.conversation,
      open: (id) => this.open(id),
      fresh: () => this.fresh(),
      deleted: (id) => this.deleted(id),
    });
    this.panels = new Panels();
    this.drawer = new Drawer($('drawer'), () => ({ conversation: this.conversation, capabilities: this.model?.capabilities ?? {} }),
      () => this.settingsChanged(), () => this.panels.close('drawer'));
    this.listen();
    this.showAll();
    this.meet();
  }

  get model() {
    return this.models.find((model) => model.id === this.conversation.model) ?? null;
  }

  // ---- the key and the models ----

  async meet() {
    this.showKey();
    if (!keys.get()) {
      this.card.show([], null);
      return this.askKey();
    }
    try {
      this.take(await listModels());
    } catch (error) {
      this.card.show([], null);
      if (error instanceof ApiError && error.status === 401) return this.askKey(error.message);
      this.notice(error instanceof ApiError ? error.message : 'The server can’t be reached.');
      setTimeout(() => this.meet(), 5000);
    }
    return undefined;
  }

  take(models) {
    this.notice('');
    this.models = models;
    const wanted = [this.conversation.model, notes.get('model')].find((id) => models.some((model) => model.id === id));
    this.conversation.model = wanted ?? models[0]?.id ?? '';
    this.showKey();
    this.showModel();
    if (models.length === 0) this.notice('This key may use no model that is there now.');
  }

  showModel() {
    this.card.show(this.models, this.model);
    $('which').textContent = this.model?.id ?? '';
    $('which').hidden = !this.model;
    document.title = this.model ? `${this.model.id} · Quire` : 'Quire';
    this.drawer.show();
    this.composer.changed();
  }

  choose(id) {
    this.conversation.model = id;
    notes.set('model', id);
    this.showModel();
    this.save(this.conversation);
  }

  askKey(why) {
    askForKey((models) => {
      this.take(models);
      $('draft').focus();
    }, () => {
      this.models = [];
      this.meet();
    }, why);
  }

  showKey() {
    $('open-key').replaceChildren(icon('key'), el('span', {}, keys.get() ? 'Key' : 'Give a key'));
    $('open-key').toggleAttribute('data-set', keys.get() !== '');
    $('open-key').setAttribute('aria-label', keys.get() ? 'API key: one is set' : 'API key: none is set');
  }

  notice(text) {
    $('notice').textContent = text;
    $('notice').hidden = text === '';
  }

  // ---- conversations ----

  lastConversation() {
    const id = notes.get('conversation') ?? listConversations()[0]?.id;
    const conversation = id ? loadConversation(id) : null;
    if (conversation) mendCut(conversation);
    return conversation ?? newConversation('');
  }

  save(conversation) {
    if (conversation.gone || Object.keys(conversation.nodes).length === 0) return;
    const failure = saveConversation(conversation);
    if (failure) this.notice(failure);
    else if (conversation === this.conversation) notes.set('conversation', conversation.id);
    this.sidebar.show();
  }

  fresh() {
    const before = this.conversation;
    this.conversation = newConversation(before.model || notes.get('model') || '');
    this.conversation.settings = structuredClone(before.settings ?? [emptySettings(), emptySettings()]);
    this.conversation.compare = before.compare;
    notes.set('conversation', '');
    this.panels.closeSheet('sidebar');
    this.showAll();
    $('draft').focus();
  }

  // An answer that runs for it ends, and brings it back no more.
  deleted(id) {
    for (const { conversation } of this.answers.running.values()) {
      if (conversation.id !== id) continue;
      conversation.gone = true;
      this.answers.stop(conversation);
    }
    if (id !== this.conversation.id) return;
    this.conversation.gone = true;
    this.fresh();
  }

  open(id) {
    const running = [...this.answers.running.values()].find((one) => one.conversation.id === id)?.conversation;
    const conversation = running ?? loadConversation(id);
    if (!conversation) return this.sidebar.show();
    if (!running) mendCut(conversation);
    this.conversation = conversation;
    notes.set('conversation', id);
    if (!this.model && this.models.length > 0) conversation.model = this.models[0].id;
    this.panels.closeSheet('sidebar');
    this.showAll();
    return undefined;
  }

  showAll() {
    this.sidebar.show();
    this.drawer.show();
    this.chat.follows = true;
    this.chat.show();
    if (this.models.length > 0) this.showModel();
    else this.composer.changed();
  }

  settingsChanged() {
    this.composer.changed();
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(this.conversation), 400);
  }

  // ---- asking ----

  // Whether it can be asked: what is wrong with the settings is said.
  mayAsk() {
    if (!keys.get()) {
      this.askKey();
      return false;
    }
    if (!this.model || this.answers.isRunning(this.conversation)) return false;
    const sides = this.conversation.compare ? [0, 1] : [0];
    const errors = sides.flatMap((side) => paramsOf(this.conversation.settings[side]).errors);
    this.notice(errors.length > 0 ? `Settings: ${errors.map(({ name, error }) => `${name}: ${error}`).join('; ')}` : '');
    if (errors.length > 0) this.panels.open('drawer');
    return errors.length === 0;
  }

  send(text) {
    if (!this.mayAsk()) return false;
    const last = shownPath(this.conversation).at(-1);
    if (last?.role === 'assistant' && openCalls(this.conversation, last).length > 0) {
      this.notice('The model waits for the results of its calls: give them above.');
      return false;
    }
    const node = addNode(this.conversation, last?.id ?? ROOT, { role: 'user', content: text });
    this.ask(node.id);
    return true;
  }

  ask(parent) {
    this.answers.ask(this.conversation, parent);
    this.changed();
    this.chat.follow(true);
  }

  bodyWith(text) {
    const settings = this.conversation.settings[0];
    const { params, errors } = paramsOf(settings);
    if (errors.length > 0) return null;
    const last = shownPath(this.conversation).at(-1);
    const messages = [...messagesTo(this.conversation, last?.id ?? ROOT, settings.system), { role: 'user', content: text }];
    const { stream, ...body } = bodyOf(this.conversation.model, messages, params);
    return body;
  }

  changed() {
    this.chat.show();
    this.composer.show();
    this.save(this.conversation);
    // What was pressed may be gone.
    if (document.activeElement === document.body && matchMedia('(pointer: fine)').matches) $('draft').focus({ preventScroll: true });
  }

  began() {
    this.composer.show();
    announce('The answer begins');
  }

  ended(node) {
    this.chat.viewOf(node)?.update();
    this.chat.follow();
    this.composer.changed();
    this.card.look();
    const run = node.runs.at(-1);
    announce(node.error ? `The answer failed: ${node.error.message}` : `The answer is there: ${count(run.completion)} tokens`);
    if (run.error?.status === 401) this.askKey(node.error.message);
  }

  turnActs() {
    const may = (then) => (...given) => this.mayAsk() && then(...given);
    return {
      conversation: () => this.conversation,
      changed: () => this.changed(),
      welcome: () => this.welcome(),
      tokensOf: (node) => this.answers.tokens.get(node),
      choose: (node) => {
        activate(this.conversation, node);
        this.changed();
      },
      edit: may((node, text) => {
        if (text.trim() === '') return;
        const sibling = addNode(this.conversation, node.parent, { role: 'user', content: text });
        this.ask(sibling.id);
      }),
      regenerate: may((node) => {
        this.answers.askAgain(this.conversation, node);
        this.changed();
      }),
      retry: may((node) => {
        // What came, or follows it, stays as a branch; else there is nothing to keep.
        const empty = !node.content && !node.reasoning && !node.calls?.length && childrenOf(this.conversation, node.id).length === 0;
        if (empty) removeNode(this.conversation, node.id);
        this.answers.askAgain(this.conversation, node);
        this.changed();
      }),
      goOn: may((node) => {
        this.answers.goOn(this.conversation, node);
        this.changed();
      }),
      giveResults: may((node, results) => {
        let parent = node.id;
        for (const { call, content } of results) parent = addNode(this.conversation, parent, { role: 'tool', call: call.id, content }).id;
        this.ask(parent);
      }),
      viewCode: (node) => showCode(snippets(BASE, bodyOfRun(this.conversation, node, node.runs.at(-1)))),
    };
  }

  welcome() {
    const ideas = ['Explain how a suspension bridge carries its load.', 'Write a function that merges two sorted lists, in Python.', 'Compare tea and coffee in a table.'];
    return el('div', { class: 'welcome' }, el('h2', {}, 'Ask it something'),
      el('p', {}, 'Answers stream as they are made. Each keeps its tokens, its speed, what it cost, and the code that asks for it.'),
      el('div', { class: 'ideas' }, ideas.map((idea) => el('button', {
        type: 'button', class: 'button small',
        onclick: () => {
          $('draft').value = idea;
          this.composer.changed();
          $('draft').focus();
        },
      }, idea))));
  }

  // ---- keys and buttons ----

  listen() {
    $('open-key').addEventListener('click', () => this.askKey());
    $('open-help').addEventListener('click', showShortcuts);
    $('which').addEventListener('click', () => $('scroller').scrollTo({ top: 0, behavior: 'smooth' }));
    onStored((id) => {
      if (id === null || id !== this.conversation.id) this.sidebar.show();
    });
    document.addEventListener('keydown', (event) => this.shortcut(event));
    window.addEventListener('pagehide', () => this.save(this.conversation));
  }

  shortcut(event) {
    if (event.key === 'Escape' && !$('dialog').open && !document.querySelector('.menu')) {
      if (this.panels.closeSheet()) return;
      this.answers.stop(this.conversation);
      return;
    }
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const last = shownPath(this.conversation).at(-1);
    const acts = {
      KeyN: () => this.fresh(), KeyC: () => this.panels.toggle('sidebar'), KeyS: () => this.panels.toggle('drawer'), Slash: showShortcuts,
      KeyR: () => last?.role === 'assistant' && this.chat.acts.regenerate(last),
    };
    if (!acts[event.code]) return;
    event.preventDefault();
    acts[event.code]();
  }
}

new App();
