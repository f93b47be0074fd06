// The rules of a grammar while they are made: each a choice of expressions, of which one can be finished only
// where the rules that it can't go without can be. Not thread-safe; lives for one grammar.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace quire::gateway {

class GrammarRules {
 public:
  struct Choice {
    std::string text;                     // EBNF
    std::vector<std::string> needs = {};  // rules of which each comes at least once
  };

  // A name that nothing else has.
  std::string NewName() { return "r" + std::to_string(named_++); }
  void Define(const std::string& name, std::vector<Choice> choices);
  // Whether some text matches it.
  bool CanEnd(const std::string& name) const;
  size_t bytes() const { return bytes_; }
  size_t size() const { return rules_.size(); }

  // All of them, of which `root` is the grammar's; those of JSON values are there too.
  std::string Ebnf(const std::string& root) const;

 private:
  std::map<std::string, std::vector<Choice>> rules_;
  size_t named_ = 0;
  size_t bytes_ = 0;
};

// What any grammar of JSON may refer to: ws, string, escape, number, integer, value, object, array.
std::string JsonRules();

}  // namespace quire::gateway
