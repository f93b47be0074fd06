// Any bytes as a chat template: refused with a sentence, or rendered within the limits; every byte of a
// prompt has an origin.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/core/status.h"
#include "gateway/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  using nlohmann::ordered_json;
  static const ordered_json messages = ordered_json::parse(
      R"([{"role": "system", "content": " s\n"}, {"role": "user", "content": "h\u00e9llo </think> x", "n": [1, 2.5]},
          {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": null}}}]}])");
  static const ordered_json tools =
      ordered_json::parse(R"([{"type": "function", "function": {"name": "f"}}])");
  const auto parsed = ChatTemplate::Parse(R"({"bos_token": "<s>"})",
                                          std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) {
    if (quire::MessageOf(parsed.status()).empty()) std::abort();
    return 0;
  }
  const auto prompt = (*parsed)->Render(messages, tools, true, nullptr);
  for (size_t i = 0; prompt.ok() && i < prompt->size(); ++i) {
    if (prompt->OriginAt(i) != Origin::kTemplate && prompt->OriginAt(i) != Origin::kUser) std::abort();
  }
  return 0;
}
