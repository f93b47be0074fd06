// A JSON schema as a grammar: every text that the grammar lets come is JSON that is valid by the schema, with
// its properties in the schema's order, each string spelled in one way, and whitespace of a bounded length
// where people put it. Pure, any thread; bounded in work and size.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>

#include "gateway/structured/grammar_rules.h"
#include "gateway/structured/schema_shapes.h"

namespace quire::gateway {

inline constexpr size_t kMaxGrammarBytes = 200 * 1024;

struct SchemaRule {
  bool loose = false;        // what can't be enforced is let be
  bool object_only = false;  // also where the schema takes others
};
// The name of the rule for it.
std::variant<std::string, SchemaProblem> AddSchema(const nlohmann::ordered_json& schema, SchemaRule rule,
                                                   GrammarRules& rules);
// EBNF whose rule is `root`.
std::variant<std::string, SchemaProblem> SchemaGrammar(const nlohmann::ordered_json& schema, SchemaRule rule);

}  // namespace quire::gateway
