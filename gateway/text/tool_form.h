// How a model writes its calls of tools, by what its chat template teaches it. Part of TextModel, which finds
// it out, and has its own words for a template that teaches none.
#pragma once

#include <cstdint>

namespace quire::gateway {

class ChatTemplate;

enum class ToolForm : uint8_t {
  kNone,    // there is no place for tools
  kHermes,  // <tool_call>\n{"name": N, "arguments": A}\n</tool_call>, one after another, behind any text
  kLlama3,  // {"name": N, "parameters": A} as the whole answer
};

// By a call as the template writes it: no template says its form in words.
ToolForm FindToolForm(const ChatTemplate& chat_template);

// Of a template that has a form: whether it writes all calls of an answer that has several, and their
// results. Llama 3's refuses such a conversation.
bool TakesParallelCalls(const ChatTemplate& chat_template);

}  // namespace quire::gateway
