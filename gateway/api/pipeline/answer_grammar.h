// One grammar for all that a request wants of an answer's form: text by a schema, an expression or a grammar,
// calls of tools as the model writes them, or either. It holds from the first token of the answer's content:
// reasoning before it is none of its. Its source is xgrammar's structural tag, as JSON; workers compile it.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/answer_format.h"
#include "gateway/text/tool_form.h"

namespace quire::gateway {

inline constexpr char kGrammarKind[] = "structural_tag";

// Text that ToolCallSplit can't take for a call where calls are the whole answer (Llama 3's form): behind
// white space neither { nor what begins the python tag's text.
inline constexpr char kNoCallRegex[] =
    R"([ \t\r\n]*|[ \t\r\n]*[^ \t\r\n{<][\x00-\u{10FFFF}]*|[ \t\r\n]*<|[ \t\r\n]*<[^|][\x00-\u{10FFFF}]*)";

struct AnswerRules {
  const ToolRules& tools;
  ToolForm form;
  const TextFormat& format;
  bool behind_reasoning;  // the content may begin with the newlines that models write behind </think>
  bool one_call = false;  // the model's template takes no answer of several
};

// nullopt: any text will do. The error names the keyword of a schema, or the place of an expression, that
// can't be held to.
ApiResult<std::optional<std::string>> AnswerGrammar(const AnswerRules& rules);

}  // namespace quire::gateway
