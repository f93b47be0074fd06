#include "gateway/api/pipeline/answer_grammar.h"

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/regex.h"
#include "gateway/structured/schema_grammar.h"
#include "gateway/structured/string_automaton.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxSourceBytes = 256 << 10;  // a worker takes no more

// A part of the answer, in the engine's terms.
using Part = ordered_json;

Part OfGrammar(std::string ebnf) { return {{"type", "grammar"}, {"grammar", std::move(ebnf)}}; }

ApiResult<Part> OfSchema(const ordered_json& schema, SchemaRule rule, const std::string& param) {
  auto grammar = SchemaGrammar(schema, rule);
  if (auto* ebnf = std::get_if<std::string>(&grammar)) return OfGrammar(std::move(*ebnf));
  const auto& problem = std::get<SchemaProblem>(grammar);
  return UnusableGrammar(problem.path.empty() ? param : absl::StrCat(param, ".", problem.path),
                         problem.message);
}

ApiResult<Part> OfRegex(std::string_view source, const std::string& param) {
  const auto regex = ParseRegex(source, RegexUse::kWhole);
  if (!regex.ok()) return UnusableGrammar(param, MessageOf(regex.status()));
  const auto automaton = StringAutomaton::OfRegex(*regex);
  if (!automaton.ok()) return UnusableGrammar(param, MessageOf(automaton.status()));
  if (automaton->empty()) return UnusableGrammar(param, "no text matches it");
  GrammarRules rules;
  const std::string root = automaton->Rule(TextPlace::kPlain, rules);
  return OfGrammar(rules.Ebnf(root));
}

ApiResult<Part> OfFormat(const TextFormat& format) {
  switch (format.kind) {
    case TextFormat::Kind::kJsonSchema:
      return OfSchema(format.schema, {.loose = !format.strict}, format.param);
    case TextFormat::Kind::kJsonObject:
      return OfGrammar(GrammarRules().Ebnf("object"));
    case TextFormat::Kind::kRegex:
      return OfRegex(format.source, format.param);
    case TextFormat::Kind::kEbnf:
    case TextFormat::Kind::kText:
      break;
  }
  return OfGrammar(format.source);
}

// What a model writes around a call's arguments, and between calls.
struct CallForm {
  const char* before_name;
  const char* behind_name;
  const char* end;
  const char* between;
};

CallForm FormOf(ToolForm form) {
  if (form == ToolForm::kLlama3) return {"{\"name\": ", ", \"parameters\": ", "}", "; "};
  return {"<tool_call>\n{\"name\": ", ", \"arguments\": ", "}\n</tool_call>", "\n"};
}

// The rule of a tool's arguments. Without a word on `strict` a schema that is too large for a grammar lets
// any object come.
ApiResult<std::string> AddArguments(const Tool& tool, size_t index, GrammarRules& rules) {
  if (tool.strict == false || tool.parameters.empty()) return "object";
  const SchemaRule rule{.loose = !tool.strict.has_value(), .object_only = true};
  const GrammarRules before = rules;
  auto added = AddSchema(tool.parameters, rule, rules);
  if (auto* name = std::get_if<std::string>(&added)) return std::move(*name);
  const auto& problem = std::get<SchemaProblem>(added);
  if (!rule.loose || !problem.too_large) {
    const std::string param = absl::StrCat("tools.", index, ".", tool.parameters_field);
    return UnusableGrammar(problem.path.empty() ? param : absl::StrCat(param, ".", problem.path),
                           problem.message);
  }
  rules = before;
  return "object";
}

// The tools that may be called, as one tag: what is JSON's is there once for all of them.
ApiResult<Part> Calls(const ToolRules& rules, const CallForm& form) {
  GrammarRules grammar;
  std::vector<GrammarRules::Choice> choices;
  for (size_t i = 0; i < rules.tools.size(); ++i) {
    const Tool& tool = rules.tools[i];
    if (!rules.only.empty() && tool.name != rules.only) continue;
    ApiResult<std::string> arguments = AddArguments(tool, i, grammar);
    if (auto* error = std::get_if<http::ApiError>(&arguments)) return std::move(*error);
    const std::string name = absl::StrCat(ordered_json(tool.name).dump(), form.behind_name);
    choices.push_back({absl::StrCat(EbnfLiteral(name), " ", std::get<std::string>(arguments))});
  }
  grammar.Define("calls", std::move(choices));
  return Part::array({{{"type", "tag"},
                       {"begin", form.before_name},
                       {"content", OfGrammar(grammar.Ebnf("calls"))},
                       {"end", form.end}}});
}

Part OneOrMore(Part tags, const CallForm& form, bool parallel) {
  return {{"type", "tags_with_separator"},
          {"tags", std::move(tags)},
          {"separator", form.between},
          {"at_least_one", true},
          {"stop_after_first", !parallel}};
}

Part Either(Part a, Part b) { return {{"type", "or"}, {"elements", {std::move(a), std::move(b)}}}; }

// Text that isn't a call, or calls.
ApiResult<Part> AsTheModelLikes(Part tags, ToolForm form, bool parallel) {
  if (form == ToolForm::kLlama3) {
    ApiResult<Part> text = OfRegex(kNoCallRegex, "tools");
    if (std::holds_alternative<http::ApiError>(text)) return text;
    return Either(OneOrMore(std::move(tags), FormOf(form), parallel), std::get<Part>(std::move(text)));
  }
  return Part{{"type", "triggered_tags"},
              {"triggers", {"<tool_call>"}},
              {"tags", std::move(tags)},
              {"stop_after_first", !parallel}};
}

bool MayCall(const AnswerRules& rules) {
  return !rules.tools.tools.empty() && rules.tools.use != ToolUse::kNone && rules.form != ToolForm::kNone;
}

// Of the content without the newlines before it; null: any text.
ApiResult<Part> Content(const AnswerRules& rules) {
  const bool has_format = rules.format.kind != TextFormat::Kind::kText;
  const bool must_call = MayCall(rules) && rules.tools.use == ToolUse::kRequired;
  Part format;
  if (has_format && !must_call) {
    ApiResult<Part> made = OfFormat(rules.format);
    if (auto* error = std::get_if<http::ApiError>(&made)) return std::move(*error);
    format = std::get<Part>(std::move(made));
  }
  if (!MayCall(rules)) return format;
  const CallForm form = FormOf(rules.form);
  ApiResult<Part> tags = Calls(rules.tools, form);
  if (std::holds_alternative<http::ApiError>(tags)) return tags;
  const bool parallel = rules.tools.parallel && !rules.one_call;
  if (!must_call && !has_format)
    return AsTheModelLikes(std::get<Part>(std::move(tags)), rules.form, parallel);
  Part calls = OneOrMore(std::get<Part>(std::move(tags)), form, parallel);
  if (must_call) return calls;
  // Where the format itself can spell a call, the call wins: ToolCallSplit says it as one, whatever made it.
  return Either(std::move(format), std::move(calls));
}

}  // namespace

ApiResult<std::optional<std::string>> AnswerGrammar(const AnswerRules& rules) {
  ApiResult<Part> content = Content(rules);
  if (auto* error = std::get_if<http::ApiError>(&content)) return std::move(*error);
  Part part = std::get<Part>(std::move(content));
  if (part.is_null()) return std::nullopt;
  if (rules.behind_reasoning) {
    part = {{"type", "sequence"}, {"elements", {OfGrammar("root ::= \"\\n\"{0,2}"), std::move(part)}}};
  }
  std::string source = Part{{"type", "structural_tag"}, {"format", std::move(part)}}.dump();
  if (source.size() > kMaxSourceBytes) {
    return UnusableGrammar(MayCall(rules) ? "tools" : rules.format.param,
                           "it makes too large a grammar: give less");
  }
  return source;
}

}  // namespace quire::gateway
