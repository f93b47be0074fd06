#include "gateway/structured/grammar_rules.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace quire::gateway {

namespace {

// A string's end is within the rule of its characters: where it stands behind them, each token of the
// vocabulary is looked at in each step. Surrogates are no characters.
const char kJsonRules[] = R"(ws ::= "" | " " | "\n" [ \t]{0,40}
value ::= object | array | string | number | "true" | "false" | "null"
number ::= "-"? ("0" | [1-9] [0-9]{0,17}) ("." [0-9]{1,15})? ([eE] [\-+]? [0-9]{1,2})?
integer ::= "0" | "-"? [1-9] [0-9]{0,17}
pair ::= string ":" ws value
object ::= "{" ws (pair ("," ws pair)* ws)? "}"
array ::= "[" ws (value ("," ws value)* ws)? "]"
string ::= "\"" characters
characters ::= "\"" | [ !#-\[\u005D-\uD7FF\uE000-\U0010FFFF] characters | escape characters
escape ::= "\\" (["\\bfnrt] | "u00" ("0" [0-7bef] | "1" [0-9a-f]))
)";

}  // namespace

void GrammarRules::Define(const std::string& name, std::vector<Choice> choices) {
  for (Choice& choice : choices) {
    if (choice.text.find_first_not_of(' ') == std::string::npos) choice.text = "\"\"";
    bytes_ += choice.text.size() + name.size() + 8;
  }
  rules_[name] = std::move(choices);
}

bool GrammarRules::CanEnd(const std::string& name) const {
  if (!rules_.contains(name)) return true;  // of JSON
  std::set<std::string> can;
  const auto ends = [&](const Choice& choice) {
    return std::ranges::all_of(
        choice.needs, [&](const std::string& need) { return can.contains(need) || !rules_.contains(need); });
  };
  for (bool more = true; more;) {
    more = false;
    for (const auto& [rule, choices] : rules_) {
      if (can.contains(rule) || !std::ranges::any_of(choices, ends)) continue;
      can.insert(rule);
      more = true;
    }
  }
  return can.contains(name);
}

std::string JsonRules() { return kJsonRules; }

std::string GrammarRules::Ebnf(const std::string& root) const {
  std::string text = absl::StrCat("root ::= ", root, "\n", JsonRules());
  for (const auto& [name, choices] : rules_) {
    absl::StrAppend(&text, name, " ::=");
    const char* separator = " ";
    for (const Choice& choice : choices) {
      absl::StrAppend(&text, separator, choice.text);
      separator = " | ";
    }
    text += '\n';
  }
  return text;
}

}  // namespace quire::gateway
