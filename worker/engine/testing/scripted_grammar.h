// A grammar for tests and the mock group, of kind "scripted": its source says position by position which ids
// may come, as "5,6;7;*;8,." does: 5 or 6, then 7, then any id, then 8 or the end (a "."), and then nothing
// more may come. A position that lists nothing lets nothing come. Masks and states are as GrammarState says.
#pragma once

#include <string>

#include "worker/engine/grammar.h"

namespace quire::worker {

class ScriptedGrammarCompiler final : public GrammarCompiler {
 public:
  absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const std::string& kind,
                                                                 const std::string& source,
                                                                 int64_t vocab) const override;
};

}  // namespace quire::worker
