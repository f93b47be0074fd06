#include "gateway/structured/schema_grammar.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/status.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/grammar_rules.h"
#include "gateway/structured/object_rules.h"
#include "gateway/structured/string_automaton.h"
#include "gateway/structured/string_formats.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using Choice = GrammarRules::Choice;

constexpr int kMaxDepth = 100;
constexpr size_t kMaxRules = 1'800;  // a worker takes 2,000
constexpr uint64_t kMaxItems = kMaxTimes;
constexpr uint64_t kMaxRemainders = 100;
constexpr int64_t kMaxListedMultiples = 1'000, kMaxListed = 4'000'000'000'000'000'000;

// Makes the rules of one schema.
class SchemaRules final : public SubschemaRules {
 public:
  SchemaRules(const ordered_json& schema, bool loose, GrammarRules& rules)
      : shapes_(schema, loose), rules_(rules) {}

  std::variant<std::string, SchemaProblem> Root(const Subschemas& all) {
    const std::optional<std::string> root = RuleOf(all);
    if (!shapes_.failed() && (!root || !rules_.CanEnd(*root))) {
      shapes_.Fail("", "no value is valid by the schema");
    }
    if (shapes_.failed()) return *shapes_.problem();
    return *root;
  }

  GrammarRules& rules() override { return rules_; }
  SchemaShapes& shapes() override { return shapes_; }

  std::optional<std::string> RuleOf(const Subschemas& all) override {
    std::vector<const ordered_json*> key;
    for (const Subschema& sub : all) {
      if (*sub.schema != true && !(sub.schema->is_object() && sub.schema->empty())) key.push_back(sub.schema);
    }
    if (key.empty()) return "value";
    std::sort(key.begin(), key.end());
    if (const auto found = names_.find(key); found != names_.end()) return found->second;
    if (shapes_.failed()) return std::nullopt;
    if (depth_ >= kMaxDepth) shapes_.Fail(all.front().path, "schemas within schemas are nested too deep");
    const std::string name = rules_.NewName();
    names_[key] = name;
    ++depth_;
    std::vector<Choice> choices;
    const std::string& path = all.front().path;
    size_t bytes = rules_.bytes();
    for (const Shape& shape : shapes_.Of(all)) {
      if (bytes > kMaxGrammarBytes || rules_.size() > kMaxRules) shapes_.FailForSize();
      AddChoice(shape, path, choices);
      if (!choices.empty()) bytes += choices.back().text.size();
    }
    --depth_;
    if (choices.empty() && !shapes_.failed()) {
      names_[key] = std::nullopt;
      choices.push_back(
          {absl::StrCat("\"\\u0000\" ", name), {name}});  // who refers to it already: without an end
    }
    rules_.Define(name, std::move(choices));
    return names_[key];
  }

 private:
  void AddChoice(const Shape& shape, const std::string& path, std::vector<Choice>& to) {
    if (shapes_.failed()) return;
    if (std::holds_alternative<NullShape>(shape)) {
      to.push_back({"\"null\""});
    } else if (std::holds_alternative<BooleanShape>(shape)) {
      to.push_back({"\"true\" | \"false\""});
    } else if (const auto* literal = std::get_if<LiteralShape>(&shape)) {
      to.push_back({EbnfLiteral(literal->value->dump())});
    } else if (const auto* number = std::get_if<NumberShape>(&shape)) {
      if (auto text = Number(*number, path)) to.push_back({*std::move(text)});
    } else if (const auto* text = std::get_if<StringShape>(&shape)) {
      if (auto choice = String(*text, path)) to.push_back({*std::move(choice)});
    } else if (const auto* array = std::get_if<ArrayShape>(&shape)) {
      if (auto choice = Array(*array, path)) to.push_back(*std::move(choice));
    } else if (auto choice = ObjectChoice(std::get<ObjectShape>(shape), path, *this)) {
      to.push_back(*std::move(choice));
    }
  }

  std::optional<std::string> Number(const NumberShape& shape, const std::string& path) {
    if (!shape.multiple_of || shape.multiple_of == 1) return NumberEbnf(shape.range);
    const auto multiple = static_cast<int64_t>(*shape.multiple_of);
    if (shape.range.min && shape.range.max) {
      const auto first = shape.range.min->at.Ceiling().Integer(),
                 last = shape.range.max->at.Floor().Integer();
      if (first && last && std::max(std::abs(*first / 4), std::abs(*last / 4)) < kMaxListed / 4 &&
          *last / multiple - *first / multiple <= kMaxListedMultiples) {
        return Multiples(shape, *first / multiple - 1, *last / multiple + 1);
      }
    } else if (!shape.range.min && !shape.range.max && *shape.multiple_of <= kMaxRemainders) {
      return absl::StrCat("(\"0\" | \"-\"? ", RuleOfMultiples(*shape.multiple_of), ")");
    }
    shapes_.FailUnlessLoose(path,
                            absl::StrCat("multipleOf can be enforced for up to ", kMaxRemainders,
                                         " without a minimum or maximum, or where both leave few multiples"));
    return NumberEbnf(shape.range);
  }

  static std::optional<std::string> Multiples(const NumberShape& shape, int64_t first, int64_t last) {
    std::vector<std::string> values;
    for (int64_t k = first; k <= last; ++k) {
      const ordered_json value = k * static_cast<int64_t>(*shape.multiple_of);
      if (shape.range.Holds(*Decimal::Of(value))) values.push_back(EbnfLiteral(value.dump()));
    }
    if (values.empty()) return std::nullopt;
    return EbnfAnyOf(values);
  }

  // A rule for each remainder that the digits so far leave.
  std::string RuleOfMultiples(uint64_t multiple) {
    const std::string stem = absl::StrCat("m", multiple, "-");
    const auto digits = [&](uint64_t remainder, int first) {
      std::vector<Choice> choices;
      for (int digit = first; digit <= 9; ++digit) {
        choices.push_back({absl::StrCat("\"", digit, "\" ", stem, (remainder * 10 + digit) % multiple)});
      }
      return choices;
    };
    for (uint64_t remainder = 0; remainder < multiple; ++remainder) {
      std::vector<Choice> choices = digits(remainder, 0);
      if (remainder == 0) choices.push_back({"\"\""});
      rules_.Define(absl::StrCat(stem, remainder), std::move(choices));
    }
    rules_.Define(stem + "first", digits(0, 1));
    return stem + "first";
  }

  std::optional<std::string> String(const StringShape& shape, const std::string& path) override {
    const std::string key =
        absl::StrCat(shape.min_length, " ", shape.max_length.value_or(UINT64_MAX), " ",
                     shape.format.value_or(""), "\n", absl::StrJoin(shape.patterns, "\n"));
    if (const auto made = strings_.find(key); made != strings_.end()) return made->second;
    const std::optional<StringAutomaton> text = TextOf(shape, path);
    std::optional<std::string> choice = "string";
    if (text) choice = text->empty() ? std::nullopt : std::optional(Quoted(*text));
    return strings_[key] = choice;
  }
  std::string Quoted(const StringAutomaton& text) override {
    return absl::StrCat("\"\\\"\" ", text.Rule(TextPlace::kJsonString, rules_));
  }

  // nullopt: any.
  std::optional<StringAutomaton> TextOf(const StringShape& shape, const std::string& path) {
    std::optional<StringAutomaton> text;
    const auto hold_to = [&](const absl::StatusOr<StringAutomaton>& rule, const char* what) {
      absl::StatusOr<StringAutomaton> both = rule.ok() && text ? text->And(*rule) : rule;
      if (both.ok()) {
        text = *std::move(both);
      } else {
        shapes_.FailUnlessLoose(path, absl::StrCat(what, ": ", MessageOf(both.status())));
      }
    };
    for (const std::string& pattern : shape.patterns) hold_to(shapes_.Automaton(pattern), "pattern");
    const auto format = shape.format ? PatternOfFormat(*shape.format) : std::nullopt;
    if (format) hold_to(shapes_.Automaton(std::string(*format)), "format");
    const bool has_length = shape.min_length > 0 || shape.max_length;
    if (has_length && !(text && text->KeepsTo(shape.min_length, shape.max_length))) {
      hold_to(StringAutomaton::OfLengths(shape.min_length, shape.max_length), "minLength and maxLength");
    }
    return text;
  }

  // What may be an item at a place; nullopt: none.
  std::optional<std::string> ItemRule(const ArrayShape& shape, size_t index) {
    if (index < shape.prefix.size()) return RuleOf(shape.prefix[index]);
    return shape.rest ? RuleOf(*shape.rest) : std::nullopt;
  }

  std::optional<Choice> Array(const ArrayShape& shape, const std::string& path) {
    uint64_t min = shape.min_items;
    std::optional<uint64_t> max = shape.max_items;
    if (std::max(min, max.value_or(0)) > kMaxItems) {
      shapes_.FailUnlessLoose(path,
                              absl::StrCat("minItems and maxItems: up to ", kMaxItems, " can be enforced"));
      if (min > kMaxItems) min = 0;
      if (max.value_or(0) > kMaxItems) max.reset();
    }
    // Behind a prefix more comes where the schema speaks of it, or asks for it.
    if (!shape.prefix.empty() && !shape.rest_is_said && min <= shape.prefix.size()) {
      max = std::min<uint64_t>(max.value_or(UINT64_MAX), shape.prefix.size());
    }
    Choice choice;
    std::vector<std::string> prefix;
    for (size_t i = 0; i < shape.prefix.size() && (!max || i < *max); ++i) {
      const std::optional<std::string> rule = ItemRule(shape, i);
      if (!rule) {
        max = i;
        break;
      }
      prefix.push_back(*rule);
      if (i < min) choice.needs.push_back(*rule);
    }
    std::optional<std::string> rest;
    if (!max || *max > prefix.size()) rest = ItemRule(shape, shape.prefix.size());
    if (!rest) max = std::min<uint64_t>(max.value_or(UINT64_MAX), prefix.size());
    if (max && *max < min) return std::nullopt;
    if (rest && min > prefix.size()) choice.needs.push_back(*rest);
    choice.text = absl::StrCat("\"[\" ws ", Items(prefix, rest, min, max), "\"]\"");
    return choice;
  }

  // From the last of the prefix to the first: what may follow each.
  static std::string Items(const std::vector<std::string>& prefix, const std::optional<std::string>& rest,
                           uint64_t min, std::optional<uint64_t> max) {
    const size_t fixed = prefix.size();
    const auto left = [&](uint64_t done) {  // of the counts, behind so many
      return std::pair(min > done ? min - done : 0,
                       max ? std::optional(*max > done ? *max - done : 0) : std::nullopt);
    };
    std::string tail;  // of what follows at least one item
    if (rest) {
      const auto [least, most] = left(std::max<size_t>(fixed, 1));
      if (most != 0) tail = absl::StrCat("(\",\" ws ", *rest, ")", EbnfTimes(least, most), " ");
    }
    for (size_t i = fixed; i-- > 1;) {
      tail = absl::StrCat("\",\" ws ", prefix[i], " ", tail);
      if (i >= min) tail = absl::StrCat("(", tail, ")? ");
    }
    if (max == 0) return "";
    const std::string& first = fixed > 0 ? prefix[0] : *rest;
    const std::string all = absl::StrCat(first, " ", tail, "ws ");
    return min == 0 ? absl::StrCat("(", all, ")? ") : all;
  }

  SchemaShapes shapes_;
  GrammarRules& rules_;
  int depth_ = 0;                                              // of rules that are being made
  std::map<std::string, std::optional<std::string>> strings_;  // by what they are held to
  std::map<std::vector<const ordered_json*>, std::optional<std::string>> names_;
};

}  // namespace

std::variant<std::string, SchemaProblem> AddSchema(const ordered_json& schema, SchemaRule rule,
                                                   GrammarRules& rules) {
  const ordered_json object{{"type", "object"}};
  Subschemas all{{&schema, ""}};
  if (rule.object_only) all.push_back({&object, ""});
  return SchemaRules(schema, rule.loose, rules).Root(all);
}

std::variant<std::string, SchemaProblem> SchemaGrammar(const ordered_json& schema, SchemaRule rule) {
  GrammarRules rules;
  auto root = AddSchema(schema, rule, rules);
  if (auto* name = std::get_if<std::string>(&root)) *name = rules.Ebnf(*name);
  return root;
}

}  // namespace quire::gateway
