// Any text as what a model writes that has tools (the first byte: in which form, whether it was cut, in what
// pieces): told alike whole and in pieces; each whole call is a JSON object of bytes that the text has.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/generation/tool_call_split.h"

namespace {

using namespace quire::gateway;

void Check(bool holds) {
  if (!holds) std::abort();
}

struct Told {
  std::string text;
  std::vector<std::string> arguments;

  void Add(const std::vector<ToolCallSplit::Part>& parts) {
    for (const ToolCallSplit::Part& part : parts) {
      if (part.kind == PieceKind::kContent) {
        text += part.text;
        continue;
      }
      if (!part.call.name.empty()) arguments.emplace_back();
      Check(part.call.index + 1 == arguments.size());
      arguments.back() += part.text;
    }
  }
  bool operator==(const Told&) const = default;
};

Told Tell(ToolCallSplit& split, const std::string& text, size_t step, bool cut) {
  Told told;
  for (size_t at = 0; at < text.size(); at += step) told.Add(split.Push(text.substr(at, step)));
  told.Add(split.Finish(cut));
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t how = data[0];
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const CallRules rules{.form = how & 1 ? ToolForm::kLlama3 : ToolForm::kHermes,
                        .names = {"f", "get_weather"},
                        .parallel = (how & 2) == 0};
  const bool cut = how & 4;
  ToolCallSplit whole(rules), pieces(rules);
  const Told told = Tell(whole, text, size, cut);
  Check(told == Tell(pieces, text, 1 + (how >> 3), cut));
  Check(whole.whole_calls() == pieces.whole_calls() && whole.broke_off() == pieces.broke_off());
  Check(told.arguments.size() <= whole.whole_calls() + whole.broke_off());
  for (size_t i = 0; i < whole.whole_calls(); ++i) {
    const std::string& arguments = told.arguments[i];
    Check(arguments == "{}" || text.find(arguments) != std::string::npos);
    // Bytes that are no UTF-8 don't reach it.
    bool plain = arguments.size() < 4096;
    for (const char c : arguments) plain = plain && static_cast<unsigned char>(c) < 0x80;
    if (plain) Check(nlohmann::json::accept(arguments));
  }
  return 0;
}
