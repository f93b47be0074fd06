// Grammars of kind "structural_tag": xgrammar's JSON form, of which a schema, a regular expression, an EBNF
// grammar and tools' calls are parts. Shared by all requests; any thread. What always holds: no exception
// leaves this unit, and nothing that a client wrote is logged; a source that would take too much time or
// memory is refused, before its masks are made or by following it for a while; one that turns out so later
// ends its request (GrammarState::status), by the engine thread's own time, so that a busy machine ends none.
#pragma once

#include <memory>
#include <string>

#include "worker/engine/grammar.h"
#include "worker/grammar/vocabulary.h"

namespace quire::worker {

class XGrammarCompiler final : public GrammarCompiler {
 public:
  static constexpr const char* kKind = "structural_tag";
  // Of one compiled grammar, and of what xgrammar keeps of rules that grammars have in common.
  static constexpr size_t kMaxGrammarBytes = 192 << 20;
  static constexpr int64_t kRuleCacheBytes = 64 << 20;

  // Where the tokenizer can't be read: refuses grammars, and says why.
  explicit XGrammarCompiler(const absl::StatusOr<Vocabulary>& vocabulary,
                            int64_t cache_bytes = kRuleCacheBytes);
  ~XGrammarCompiler() override;

  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const std::string& kind,
                                                                 const std::string& source,
                                                                 int64_t vocab) const override;

 private:
  struct Impl;
  absl::Status broken_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quire::worker
