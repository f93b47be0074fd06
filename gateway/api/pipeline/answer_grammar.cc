#include "gateway/api/pipeline/answer_grammar.h"

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "gateway/structured/regex.h"
#include "gateway/structured/schema_grammar.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxSourceBytes = 256 << 10;  // a worker takes no more

// Of a model whose calls are the whole answer: text that can't be taken for one.
constexpr char kNoCallGrammar[] =
    R"(root ::= "" | [\u0000-z|-\uD7FF\uE000-\U0010FFFF] [\u0000-\uD7FF\uE000-\U0010FFFF]*)";

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

ApiResult<Part> OfFormat(const TextFormat& format) {
  switch (format.kind) {
    case TextFormat::Kind::kJsonSchema:
      return OfSchema(format.schema, {.loose = !format.strict}, format.param);
    case TextFormat::Kind::kJsonObject:
      return OfGrammar(AnyObjectGrammar());
    case TextFormat::Kind::kRegex: {
      const auto regex = ParseRegex(format.source, RegexUse::kWhole);
      if (!regex.ok()) return UnusableGrammar(format.param, MessageOf(regex.status()));
      return OfGrammar(absl::StrCat("root ::= ", EbnfRegex(RegexText(*regex, TextPlace::kPlain))));
    }
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

ApiResult<Part> OfArguments(const Tool& tool, size_t index) {
  if (tool.strict == false || tool.parameters.empty()) return OfGrammar(AnyObjectGrammar());
  return OfSchema(tool.parameters, {.loose = !tool.strict.has_value(), .object_only = true},
                  absl::StrCat("tools.", index, ".", tool.parameters_field));
}

// Each of the tools that may be called, as a tag.
ApiResult<Part> Calls(const ToolRules& rules, const CallForm& form) {
  Part tags = Part::array();
  for (size_t i = 0; i < rules.tools.size(); ++i) {
    const Tool& tool = rules.tools[i];
    if (!rules.only.empty() && tool.name != rules.only) continue;
    ApiResult<Part> arguments = OfArguments(tool, i);
    if (auto* error = std::get_if<http::ApiError>(&arguments)) return std::move(*error);
    tags.push_back(
        {{"type", "tag"},
         {"begin", absl::StrCat(form.before_name, ordered_json(tool.name).dump(), form.behind_name)},
         {"content", std::get<Part>(std::move(arguments))},
         {"end", form.end}});
  }
  return tags;
}

Part OneOrMore(Part tags, const ToolRules& rules, const CallForm& form) {
  return {{"type", "tags_with_separator"},
          {"tags", std::move(tags)},
          {"separator", form.between},
          {"at_least_one", true},
          {"stop_after_first", !rules.parallel}};
}

Part Either(Part a, Part b) { return {{"type", "or"}, {"elements", {std::move(a), std::move(b)}}}; }

// Text that isn't a call, or calls.
Part AsTheModelLikes(Part tags, const ToolRules& rules, ToolForm form) {
  if (form == ToolForm::kLlama3) {
    return Either(OneOrMore(std::move(tags), rules, FormOf(form)), OfGrammar(kNoCallGrammar));
  }
  return {{"type", "triggered_tags"},
          {"triggers", {"<tool_call>"}},
          {"tags", std::move(tags)},
          {"stop_after_first", !rules.parallel}};
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
  if (!must_call && !has_format)
    return AsTheModelLikes(std::get<Part>(std::move(tags)), rules.tools, rules.form);
  Part calls = OneOrMore(std::get<Part>(std::move(tags)), rules.tools, form);
  if (must_call) return calls;
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
