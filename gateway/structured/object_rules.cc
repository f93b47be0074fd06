#include "gateway/structured/object_rules.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/string_automaton.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using Choice = GrammarRules::Choice;
using Others = ObjectShape::Others;

constexpr size_t kMaxProperties = 1'000;
constexpr uint64_t kMaxCounted = 60;  // properties, where their number is held to bounds
constexpr uint64_t kMaxFree = kMaxTimes;

class ObjectRules {
 public:
  ObjectRules(const ObjectShape& shape, const std::string& path, SubschemaRules& schema)
      : shape_(shape), path_(path), schema_(schema) {}

  std::optional<Choice> Make() {
    if (!ReadProperties()) return std::nullopt;
    free_ = FreePair();
    if (schema_.shapes().failed() || !ReadCounts()) return std::nullopt;
    Choice choice{.text = absl::StrCat("\"{\" ws ", Tail(0, 0, false), "\"}\"")};
    for (const Member& member : members_) {
      if (member.required) choice.needs.push_back(member.rule);
    }
    return choice;
  }

 private:
  struct Member {
    std::string text;  // "name": value
    std::string rule;  // of its value
    bool required;
  };

  // False where one that must be there can't.
  bool ReadProperties() {
    if (shape_.properties.size() > kMaxProperties) {
      schema_.shapes().Fail(path_, absl::StrCat("an object has at most ", kMaxProperties, " properties"));
      return false;
    }
    for (const ObjectShape::Property& property : shape_.properties) {
      ++declared_;
      const bool may_be = !property.forbidden && schema_.shapes().Takes(shape_.names, property.name);
      const std::optional<std::string> rule = may_be ? schema_.RuleOf(property.value) : std::nullopt;
      if (!rule && property.required) return false;
      if (!rule) continue;
      const std::string name = EbnfLiteral(ordered_json(property.name).dump() + ":");
      members_.push_back({absl::StrCat(name, " ws ", *rule), *rule, property.required});
    }
    return true;
  }

  // A property by a name that isn't declared, with its value; nullopt: there is none.
  std::optional<std::string> FreePair() {
    const bool is_open =
        shape_.others == Others::kAny || (shape_.others == Others::kUnsaid && declared_ == 0);
    if (shape_.pattern) return PairByPattern();
    if (!is_open) return std::nullopt;
    const std::optional<std::string> rule = schema_.RuleOf(shape_.other_values);
    const std::optional<std::string> name = rule ? FreeName() : std::nullopt;
    if (!name) return std::nullopt;
    return absl::StrCat(*name, " \":\" ws ", *rule);
  }

  // Only those: what else may come would have to be told from them.
  std::optional<std::string> PairByPattern() {
    if (shape_.others == Others::kAny || !shape_.names.empty()) {
      schema_.shapes().FailUnlessLoose(path_,
                                       "patternProperties can't be enforced beside additionalProperties or "
                                       "propertyNames");
    }
    const auto& automaton = schema_.shapes().Automaton(*shape_.pattern);
    const bool is_declared =
        std::ranges::any_of(shape_.properties, [&](const ObjectShape::Property& property) {
          return automaton.ok() && automaton->Takes(CodePointsOf(property.name));
        });
    const std::optional<std::string> rule = schema_.RuleOf(shape_.pattern_values);
    // Beside a declared name that matches no other comes: the two could be one.
    if (!rule || is_declared || !automaton.ok() || automaton->empty()) return std::nullopt;
    return absl::StrCat(schema_.Quoted(*automaton), " \":\" ws ", *rule);
  }

  std::optional<std::string> FreeName() {
    if (!shape_.names.empty()) {
      // A name of a given form can't be told from those that are declared.
      if (declared_ > 0) return std::nullopt;
      std::vector<std::string> choices;
      for (const Shape& shape : schema_.shapes().Of(shape_.names)) {
        if (const auto* text = std::get_if<StringShape>(&shape)) {
          if (auto name = schema_.String(*text, path_)) choices.push_back(*std::move(name));
        } else if (const auto* literal = std::get_if<LiteralShape>(&shape)) {
          if (literal->value->is_string()) choices.push_back(EbnfLiteral(literal->value->dump()));
        }
      }
      if (choices.empty()) return std::nullopt;
      return EbnfAnyOf(choices);
    }
    std::vector<std::u32string> names;
    for (const ObjectShape::Property& property : shape_.properties)
      names.push_back(CodePointsOf(property.name));
    if (names.empty()) return "string";
    const auto others = StringAutomaton::OfNoneOf(names);
    if (others.ok()) return schema_.Quoted(*others);
    schema_.shapes().FailUnlessLoose(path_,
                                     "too many properties, or names too long, beside additionalProperties");
    return std::nullopt;
  }

  // Whether they can be met.
  bool ReadCounts() {
    min_ = shape_.min_properties;
    max_ = shape_.max_properties;
    const auto required = static_cast<uint64_t>(std::ranges::count_if(members_, &Member::required));
    if (min_ <= required) min_ = 0;
    if (max_ && *max_ >= members_.size() && !free_) max_.reset();
    if (max_ && *max_ < required) return false;
    if (!free_ && min_ > members_.size()) return false;
    // Two by the same free name are one.
    if (free_ && min_ > required + 1) {
      schema_.shapes().FailUnlessLoose(path_, "minProperties can't be enforced where names are free");
      min_ = 0;
    }
    if ((min_ > 0 || max_) && (members_.size() > kMaxCounted || max_.value_or(0) > kMaxFree)) {
      schema_.shapes().FailUnlessLoose(
          path_, "minProperties and maxProperties can't be enforced for so many properties");
      min_ = 0;
      max_.reset();
    }
    counts_ = min_ > 0 || max_;
    return true;
  }

  // What may come from the property `at` on, behind `count` of them (where that matters), with a comma before
  // the next where there are any: a rule for each such place.
  std::string Tail(size_t at, uint64_t count, bool comma) {
    if (at == members_.size()) return End(count, comma);
    const std::string key = absl::StrCat(at, comma ? "c" : "f", counts_ ? absl::StrCat(count) : "");
    if (const auto made = tails_.find(key); made != tails_.end()) return made->second + " ";
    const std::string name = schema_.rules().NewName();
    tails_[key] = name;
    const Member& member = members_[at];
    std::vector<Choice> choices;
    if (!max_ || count + 1 + RequiredFrom(at + 1) <= *max_) {
      choices.push_back(
          {absl::StrCat(comma ? "\",\" ws " : "", member.text, " ", Tail(at + 1, count + 1, true))});
    }
    if (!member.required && CanReach(at + 1, count)) choices.push_back({Tail(at + 1, count, comma)});
    schema_.rules().Define(name, std::move(choices));
    return name + " ";
  }

  bool CanReach(size_t at, uint64_t count) const { return free_ || count + members_.size() - at >= min_; }
  uint64_t RequiredFrom(size_t at) const {
    return static_cast<uint64_t>(std::count_if(members_.begin() + static_cast<ptrdiff_t>(at), members_.end(),
                                               [](const Member& member) { return member.required; }));
  }

  std::string End(uint64_t count, bool comma) {
    const std::string close = comma ? "ws " : "";
    if (!free_) return close;
    const uint64_t least = min_ > count ? min_ - count : 0;
    std::optional<uint64_t> most;
    if (max_) most = *max_ > count ? *max_ - count : 0;
    if (most == 0) return close;
    if (comma) return absl::StrCat("(\",\" ws ", *free_, ")", EbnfTimes(least, most), " ws ");
    if (most) most = *most - 1;
    const std::string pairs = absl::StrCat(*free_, " (\",\" ws ", *free_, ")", EbnfTimes(0, most), " ws ");
    return least > 0 ? pairs : absl::StrCat("(", pairs, ")? ");
  }

  const ObjectShape& shape_;
  const std::string& path_;
  SubschemaRules& schema_;
  std::vector<Member> members_;
  size_t declared_ = 0;
  std::optional<std::string> free_;
  uint64_t min_ = 0;
  std::optional<uint64_t> max_;
  bool counts_ = false;
  std::map<std::string, std::string> tails_;
};

}  // namespace

std::optional<Choice> ObjectChoice(const ObjectShape& shape, const std::string& path,
                                   SubschemaRules& schema) {
  return ObjectRules(shape, path, schema).Make();
}

}  // namespace quire::gateway
