// The part of a schema's grammar that says an object: its properties in their order, those that may be left
// out, how many there are, and others by free names. Part of SchemaGrammar; lives for one grammar.
#pragma once

#include <optional>
#include <string>

#include "gateway/structured/grammar_rules.h"
#include "gateway/structured/schema_shapes.h"

namespace quire::gateway {

// What it asks of the grammar that it is part of.
class SubschemaRules {
 public:
  virtual ~SubschemaRules() = default;
  virtual GrammarRules& rules() = 0;
  virtual SchemaShapes& shapes() = 0;
  // The name of the rule for values by all of them; nullopt: there is none.
  virtual std::optional<std::string> RuleOf(const Subschemas& all) = 0;
  // A string, its quotes too; nullopt: there is none.
  virtual std::optional<std::string> String(const StringShape& shape, const std::string& path) = 0;
  virtual std::string Quoted(const StringAutomaton& text) = 0;
};

// nullopt: no object has the shape. `path` is the schema's.
std::optional<GrammarRules::Choice> ObjectChoice(const ObjectShape& shape, const std::string& path,
                                                 SubschemaRules& schema);

}  // namespace quire::gateway
