// The page put together: which model, which conversation, who does what when something is pressed.
import { ApiError, BASE, keys, listModels } from './api.js';
import { Answers, spentOn, usedTokens } from './answers.js';
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
import { listConversations, loadConversation, notes, onStored, opened, saveConversation, syncConversation } from './store.js';
import { snippets } from './snippets.js';
import { Panels } from './panels.js';
import { welcome } from './welcome.js';

const $ = (id) => document.getElementById(id);

class App {
  constructor() {
    this.models = [];
    this.conversation = this.lastConversation();
    this.answers = new Answers({
      paramsOf: (conversation, side) => paramsOf(conversation.settings[side], this.context(conversation)),
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
      bodiesWith: (text) => this.bodiesWith(text),
      model: () => this.model,
      spent: () => spentOn(this.conversation),
      used: () => usedTokens(this.conversation, shownPath(this.conversation).at(-1)),
    });
    this.sidebar = new Sidebar($('sidebar'), {
      current: () => this.conversation,
      open: (id) => this.open(id),
      fresh: () => this.fresh(),
      deleted: (id) => this.deleted(id),
      save: (conversation) => this.save(conversation),
    });
    this.panels = new Panels();
    this.drawer = new Drawer($('drawer'), () => ({ conversation: this.conversation, ...this.context(this.conversation) }),
      () => this.settingsChanged(), () => this.panels.close('drawer'));
    this.listen();
    this.showAll();
    this.meet();
  }

  get model() {
    return this.models.find((model) => model.id === this.conversation.model) ?? null;
  }

  // What the drawer goes by: all that it does not show is not sent.
  context({ model, compare }) {
    return { capabilities: this.models.find((one) => one.id === model)?.capabilities ?? {}, compare };
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
      this.meetSoon();
    }
    return undefined;
  }

  meetSoon() {
    clearTimeout(this.meeting);
    this.meeting = setTimeout(() => ($('dialog').open ? this.meetSoon() : this.meet()), 5000);
  }

  take(models) {
    this.notice(models.length > 0 ? '' : 'This key may use no model that is there now.');
    this.models = models;
    const wanted = [this.conversation.model, notes.get('model')].find((id) => models.some((model) => model.id === id));
    this.conversation.model = wanted ?? models[0]?.id ?? '';
    this.showKey();
    this.showModel();
    if (models.length === 0) this.meetSoon();  // one may come
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
    $('open-key').setAttribute('aria-label', keys.get() ? 'Key: one is set' : 'Give a key: none is set');
  }

  notice(text) {
    if (text === $('notice').textContent) return;  // it is read out once
    $('notice').textContent = text;
    $('notice').hidden = text === '';
  }

  // ---- conversations ----

  lastConversation() {
    const id = opened.get() ?? listConversations()[0]?.id;
    return (id ? loadConversation(id) : null) ?? newConversation('');
  }

  save(conversation) {
    if (conversation.gone || Object.keys(conversation.nodes).length === 0) return;
    const { failure, merged } = saveConversation(conversation, this.answers.runningIn(conversation));
    if (conversation.gone) {
      this.deleted(conversation.id);
      return;
    }
    if (failure) this.notice(failure);
    else if (this.unsaved) this.notice('');
    this.unsaved = failure !== null;
    if (!failure && conversation === this.conversation) opened.set(conversation.id);
    this.sidebar.show();
    this.showMerged(conversation, merged);
  }

  // Another tab has stored something: of this one's conversation it is shown, and what that tab had not seen is stored again.
  stored(id) {
    const conversation = this.conversation;
    if (id !== null && id !== conversation.id) return this.sidebar.show();
    const merged = syncConversation(conversation, this.answers.runningIn(conversation));
    if (conversation.gone) return this.deleted(conversation.id);
    this.showMerged(conversation, merged);
    if (merged?.ahead) this.save(conversation);
    return this.sidebar.show();
  }

  showMerged(conversation, merged) {
    if (conversation !== this.conversation || !merged) return;
    if (merged.nodes) this.chat.show();
    if (merged.nodes) this.composer.changed();
    if (!merged.settings) return;
    const focused = document.activeElement?.id;
    if (this.model) this.showModel();
    else this.drawer.show();
    if (focused) $(focused)?.focus();
  }

  fresh() {
    const before = this.conversation;
    this.conversation = newConversation(before.model || notes.get('model') || '');
    this.conversation.settings = structuredClone(before.settings ?? [emptySettings(), emptySettings()]);
    this.conversation.compare = before.compare;
    opened.set('');
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
    this.conversation = conversation;
    opened.set(id);
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
    const { conversation } = this;
    clearTimeout(this.saving?.timer);
    if (this.saving && this.saving.conversation !== conversation) this.save(this.saving.conversation);
    const timer = setTimeout(() => {
      this.saving = null;
      this.save(conversation);
    }, 400);
    this.saving = { conversation, timer };
  }

  // ---- asking ----

  // Whether it can be asked: what is wrong with the settings is said.
  mayAsk() {
    if (!keys.get()) {
      this.askKey();
      return false;
    }
    if (this.answers.isRunning(this.conversation)) return false;
    if (!this.model) {
      this.notice('No model is there now: wait, or give another key.');
      return false;
    }
    const errors = this.sides().flatMap(({ errors: wrong }) => wrong);
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

  // Of each of the settings that are shown: {params, errors, system}.
  sides() {
    const { conversation } = this;
    return conversation.settings.slice(0, conversation.compare ? 2 : 1)
      .map((settings) => ({ ...paramsOf(settings, this.context(conversation)), system: settings.system }));
  }

  bodiesWith(text) {
    const sides = this.sides();
    if (sides.some(({ errors }) => errors.length > 0)) return null;
    const last = shownPath(this.conversation).at(-1);
    return sides.map(({ params, system }) => {
      const messages = [...messagesTo(this.conversation, last?.id ?? ROOT, system), { role: 'user', content: text }];
      const { stream, ...body } = bodyOf(this.conversation.model, messages, params);
      return body;
    });
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
    const tokens = run.completion === null ? '' : `: ${count(run.completion)} tokens`;
    announce(node.error ? `The answer failed: ${node.error.message}` : node.finish === 'stopped' ? 'The answer was stopped' : `The answer is there${tokens}`);
    if (run.error?.status === 401) this.askKey(node.error.message);
  }

  turnActs() {
    const may = (then) => (...given) => this.mayAsk() && then(...given);
    return {
      conversation: () => this.conversation,
      changed: () => this.changed(),
      welcome: () => welcome((idea) => {
        $('draft').value = idea;
        this.composer.changed();
        $('draft').focus();
      }),
      tokensOf: (node) => this.answers.tokens.get(node),
      choose: (node) => {
        activate(this.conversation, node);
        this.changed();
      },
      edit: may((node, text) => {
        this.ask(addNode(this.conversation, node.parent, { role: 'user', content: text }).id);
        return true;
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

  // ---- keys and buttons ----

  listen() {
    $('open-key').addEventListener('click', () => this.askKey());
    $('open-help').addEventListener('click', showShortcuts);
    $('which').addEventListener('click', () => $('scroller').scrollTo({ top: 0, behavior: 'smooth' }));
    onStored((id) => this.stored(id));
    document.addEventListener('keydown', (event) => this.shortcut(event));
    window.addEventListener('pagehide', () => {
      new Set([this.conversation, ...[...this.answers.running.values()].map((one) => one.conversation)]).forEach((one) => this.save(one));
    });
  }

  shortcut(event) {
    if (event.isComposing || $('dialog').open) return;  // what is behind a dialog is out of reach
    if (event.key === 'Escape' && !document.querySelector('.menu')) {
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
