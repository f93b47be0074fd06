// For tests only: values of a declared field that its limits decide, at their edges and just beyond, and of
// other types.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

// Values of a field: those that are taken, and those that are not.
struct Probes {
  std::vector<nlohmann::ordered_json> taken, refused;
};

struct ProbesOf {
  using json = nlohmann::ordered_json;

  Probes operator()(const NumberField* field) const {
    return {{field->min, field->max, (field->min + field->max) / 2},
            {field->min - 0.001, field->max + 0.001, "1", true, json::array()}};
  }
  Probes operator()(const IntegerField* field) const {
    return {{field->min, field->max, static_cast<double>(field->min)},
            {field->min - 1, field->max + 1, static_cast<double>(field->min) + 0.5, "1", true}};
  }
  Probes operator()(const BoolField* field) const {
    if (*field->never != '\0') return {{false}, {true, 1, "false"}};
    return {{true, false}, {1, "true", json::object()}};
  }
  Probes operator()(const StringField* field) const {
    Probes probes{{}, {5, true, json::array({"a"})}};
    constexpr size_t kMostTried = 1 << 20;
    const bool bounded = field->max_bytes < kMostTried;
    if (bounded) probes.refused.push_back(std::string(field->max_bytes + 1, 'a'));
    if (field->filled) probes.refused.push_back("");
    if (*field->pattern != '\0') probes.refused.insert(probes.refused.end(), {"", "a b", "\u00e9"});
    // A name is looked for by others, an id too.
    const std::string_view name = field->name;
    const bool is_free = *field->pattern == '\0' && name != "name" && !absl::StrContains(field->name, "id") &&
                         name != "arguments";
    if (is_free) probes.taken.push_back(bounded ? std::string(field->max_bytes, 'a') : "a");
    return probes;
  }
  Probes operator()(const ChoiceField* field) const {
    return {{}, {"no such word", 5, json::array(), std::string(field->max_bytes + 1, 'a')}};
  }
  Probes operator()(const StopsField* field) const {
    json most = json::array();
    for (size_t i = 0; i < field->max_items; ++i) most.push_back(std::string(field->max_bytes, 'a'));
    json more = most;
    more.push_back("a");
    return {{"a", json::array(), most},
            {5, "", more, std::string(field->max_bytes + 1, 'a'), json::array({""}), json::array({5})}};
  }
  Probes operator()(const TokenIdsField* field) const {
    Probes probes{{json::array(), json::array({0, 5.0, INT32_MAX})},
                  {5, "5", json::array({-1}), json::array({int64_t{INT32_MAX} + 1}), json::array({0.5})}};
    if (field->max_items == SIZE_MAX) return probes;
    probes.taken.push_back(std::vector<int>(field->max_items, 1));
    probes.refused.push_back(std::vector<int>(field->max_items + 1, 1));
    return probes;
  }
  Probes operator()(const ObjectField* field) const {
    Probes probes{{}, {5, "a", json::array()}};
    if (field->or_empty) probes.taken.push_back(json::object());
    return probes;
  }
  Probes operator()(const ListField* field) const {
    Probes probes{{}, {5, json::array({5}), json::array({json::array()})}};
    if (!field->or_string) probes.refused.push_back("a");
    if (field->min_items > 0) probes.refused.push_back(json::array());
    if (field->max_items < SIZE_MAX) {
      probes.refused.push_back(std::vector<nlohmann::ordered_json>(field->max_items + 1, json::object()));
    }
    return probes;
  }
  Probes operator()(const ShapeField* field) const {
    if (field->schema == std::string_view("{}")) return {};
    if (field == &kSchema) return {{true, json::object()}, {5.25, "a", json::array()}};
    return {{}, {5.25}};
  }
  Probes operator()(const RefusedField* field) const {
    const json accepted = json::parse(field->accepted);
    return {{accepted.begin(), accepted.end()}, {5.25, "what nobody accepts"}};
  }
};

}  // namespace quire::gateway
