#include "gateway/api/chat/unsupported_fields.h"

#include <algorithm>
namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

struct Row {
  const char* name;
  const char* advice = "leave it out";
  const char* neutral = R"([[], {}, ""])";  // JSON: the values that change nothing, beside null
};

constexpr const char* kUseFormat = "use response_format";
constexpr const char* kNotTrue = "leave it out or give false";

constexpr Row kTable[] = {
    // OpenAI's
    {"functions", "give \"tools\" in its place"},
    {"function_call", "give \"tool_choice\" in its place", R"(["none", "auto"])"},
    {"modalities", "leave it out or give [\"text\"]", R"([["text"], []])"},
    {"audio"},
    {"verbosity", "leave it out or give \"medium\"", R"(["medium"])"},
    // those of other servers
    {"best_of", "leave it out", "[1]"},
    {"echo", kNotTrue, "[false]"},
    {"suffix"},
    {"use_beam_search", kNotTrue, "[false]"},
    {"length_penalty", "leave it out", "[1]"},
    {"prompt_logprobs", "leave it out", "[0, false]"},
    {"truncate_prompt_tokens"},
    {"allowed_token_ids", "leave it out, or use logit_bias"},
    {"bad_words", "leave it out, or use logit_bias"},
    {"include_stop_str_in_output", kNotTrue, "[false]"},
    {"skip_special_tokens", "leave it out or give true", "[true]"},
    {"chat_template"},
    {"documents"},
    {"guided_json", kUseFormat},
    {"guided_regex", kUseFormat},
    {"guided_choice", kUseFormat},
    {"guided_grammar", kUseFormat},
    {"structured_outputs", kUseFormat},
    {"regex", kUseFormat},
    {"ebnf", kUseFormat},
    {"grammar", kUseFormat},
    {"json_schema", kUseFormat},
};

}  // namespace

void RefuseUnsupportedFields(FieldReader& fields, std::initializer_list<std::string_view> honoured) {
  for (const Row& row : kTable) {
    if (std::find(honoured.begin(), honoured.end(), row.name) != honoured.end()) continue;
    const json* value = fields.Find(row.name);
    if (value == nullptr) continue;
    const json neutral = json::parse(row.neutral);
    if (std::find(neutral.begin(), neutral.end(), *value) != neutral.end()) continue;
    fields.Unsupported(row.name, row.advice);
  }
  // An empty object asks for it, too.
  if (fields.Find("web_search_options") != nullptr) fields.Unsupported("web_search_options", "leave it out");
}

}  // namespace quire::gateway
