// From a conversation and its settings to the body of POST /v1/chat/completions, and back from what is kept of a run.
import { messageOf, pathTo } from './conversation.js';
import { groupsFor, read } from './parameters.js';

// {params, errors}: all of the body but model, messages and stream: what the drawer shows in that context (parameters.js).
// `errors` names what is wrong: [{name, error}].
export function paramsOf(settings, context) {
  const params = {}, errors = [];
  for (const parameter of groupsFor(context).flatMap((group) => group.parameters)) {
    const { value, error } = read(parameter, settings.values[parameter.name]);
    if (error) errors.push({ name: parameter.name, error });
    if (value === undefined) continue;
    const [outer, inner] = parameter.name.split('.');
    if (inner) params[outer] = { ...params[outer], [inner]: value };
    else params[outer] = value;
  }
  addFormat(settings.format, params, errors);
  if (context.capabilities.tools) addTools(settings, params, errors);
  return { params, errors };
}

function addFormat(format, params, errors) {
  const wrong = (error) => errors.push({ name: 'response_format', error });
  switch (format.type) {
    case 'json_object':
      params.response_format = { type: 'json_object' };
      break;
    case 'json_schema': {
      const { value, error } = parseJson(format.schema ?? '');
      if (error) return wrong(error);
      params.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema: value, strict: format.strict !== false } };
      break;
    }
    case 'regex': case 'grammar':
      if (!format[format.type]) return wrong('is empty');
      params.response_format = { type: format.type, [format.type]: format[format.type] };
      break;
    default:
  }
  return undefined;
}

function addTools(settings, params, errors) {
  if (settings.tools.trim() === '') return;
  const { value, error } = parseTools(settings.tools);
  if (error) {
    errors.push({ name: 'tools', error });
    return;
  }
  if (value.length === 0) return;
  params.tools = value;
  const choice = choiceOf(settings.toolChoice, value);
  if (choice.startsWith('function:')) params.tool_choice = { type: 'function', function: { name: choice.slice(9) } };
  else if (choice !== 'auto') params.tool_choice = choice;
  if (settings.values.parallel_tool_calls === 'off') params.parallel_tool_calls = false;
}

// What can be chosen of these tools.
export const choicesOf = (tools) => ['auto', 'none', 'required', ...tools.map((tool) => `function:${tool.function.name}`)];
export const choiceOf = (wanted, tools) => (choicesOf(tools).includes(wanted) ? wanted : 'auto');

export function parseJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { error: text.trim() === '' ? 'is empty' : `is no JSON: ${error.message}` };
  }
}

// A list of tools, or one; as the API takes them, or only what stands in "function".
export function parseTools(text) {
  const { value, error } = parseJson(text);
  if (error) return { error };
  const tools = (Array.isArray(value) ? value : [value]).map((tool) => (tool?.function ? tool : { type: 'function', function: tool }));
  const nameless = tools.findIndex((tool) => typeof tool.function?.name !== 'string');
  return nameless >= 0 ? { error: `tool ${nameless + 1} has no name` } : { value: tools };
}

export function bodyOf(model, messages, params) {
  return { model, messages, ...params, stream: true };
}

export function messagesTo(conversation, parent, system) {
  // An answer that never came is none.
  const said = pathTo(conversation, parent).filter((node) => node.role !== 'assistant' || node.content !== '' || node.calls?.length);
  const messages = said.map(messageOf);
  return system.trim() === '' ? messages : [{ role: 'system', content: system }, ...messages];
}

// What an answer is continued from: a part that is there already.
export function partialMessage(content, reasoning) {
  return content === '' && reasoning !== '' ? { role: 'assistant', content: '', reasoning_content: reasoning }
    : { role: 'assistant', content, ...(reasoning === '' ? {} : { reasoning_content: reasoning }) };
}

// The request that a run of an answer was, exactly.
export function bodyOfRun(conversation, node, run) {
  const messages = messagesTo(conversation, node.parent, run.system);
  if (run.from) messages.push(partialMessage(node.content.slice(0, run.from.content), (node.reasoning ?? '').slice(0, run.from.reasoning)));
  return bodyOf(run.model, messages, run.params);
}

// What the page draws where none was given, so that what it asked can be asked again: 31 bits.
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
