// Any JSON as a schema that answers are held to, and any bytes as a regular expression: a grammar of bounded
// size, or a problem that says what is wrong, held to or not.
#include <cstdlib>

#include "base/core/strict_json.h"
#include "gateway/structured/regex.h"
#include "gateway/structured/schema_grammar.h"
#include "gateway/structured/string_automaton.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto schema = quire::ParseStrictJson(text);
  if (!schema.ok()) return 0;
  for (const bool loose : {false, true}) {
    const auto made = SchemaGrammar(*schema, {.loose = loose, .object_only = loose});
    if (const auto* problem = std::get_if<SchemaProblem>(&made)) {
      Check(!problem->message.empty());
    } else {
      Check(std::get<std::string>(made).size() < 4 * kMaxGrammarBytes);
    }
  }
  if (!schema->is_string()) return 0;
  const auto regex = ParseRegex(schema->get_ref<const std::string&>(), RegexUse::kSearch);
  if (!regex.ok()) {
    Check(!regex.status().message().empty());
  } else if (const auto automaton = StringAutomaton::OfRegex(*regex); automaton.ok() && !automaton->empty()) {
    GrammarRules rules;
    Check(!automaton->Rule(TextPlace::kJsonString, rules).empty());
  }
  return 0;
}
