#include "worker/engine/testing/scripted_grammar.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::worker {
namespace {

struct ScriptedPosition {
  bool all = false, may_stop = false;
  std::vector<TokenId> ids;
};

using ScriptedPositions = std::vector<ScriptedPosition>;

class ScriptedState final : public GrammarState {
 public:
  explicit ScriptedState(std::shared_ptr<const ScriptedPositions> positions)
      : positions_(std::move(positions)) {}

  bool Accept(TokenId id) override {
    if (next_ == positions_->size()) return false;
    const ScriptedPosition& here = (*positions_)[next_++];
    return here.all || std::ranges::find(here.ids, id) != here.ids.end();
  }

  bool FillMask(std::span<uint32_t> mask) override {
    std::ranges::fill(mask, 0);
    if (next_ == positions_->size()) return true;
    const ScriptedPosition& here = (*positions_)[next_];
    for (const TokenId id : here.ids) mask[id / 32] |= 1u << (id % 32);
    return !here.all;
  }

  bool CanStop() const override { return next_ == positions_->size() || (*positions_)[next_].may_stop; }

 private:
  const std::shared_ptr<const ScriptedPositions> positions_;
  size_t next_ = 0;
};

class ScriptedGrammar final : public CompiledGrammar {
 public:
  ScriptedGrammar(ScriptedPositions positions, int64_t vocab)
      : positions_(std::make_shared<const ScriptedPositions>(std::move(positions))), vocab_(vocab) {}
  std::unique_ptr<GrammarState> Start() const override { return std::make_unique<ScriptedState>(positions_); }
  int64_t vocab() const override { return vocab_; }
  size_t bytes() const override { return positions_->size() * sizeof(ScriptedPosition); }

 private:
  const std::shared_ptr<const ScriptedPositions> positions_;
  const int64_t vocab_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> ScriptedGrammarCompiler::Compile(
    const std::string& kind, const std::string& source, int64_t vocab) const {
  if (kind != "scripted")
    return absl::InvalidArgumentError(absl::StrCat("grammar: '", kind, "' is no kind that is known here"));
  ScriptedPositions positions;
  const std::vector<std::string> texts = absl::StrSplit(source, ';');
  for (const std::string& text : texts) {
    ScriptedPosition& position = positions.emplace_back();
    const std::vector<std::string> parts = absl::StrSplit(text, ',', absl::SkipEmpty());
    for (const std::string& part : parts) {
      TokenId id = -1;
      if (part == "*") {
        position.all = true;
      } else if (part == ".") {
        position.may_stop = true;
      } else if (absl::SimpleAtoi(part, &id) && id >= 0 && id < vocab) {
        position.ids.push_back(id);
      } else {
        return absl::InvalidArgumentError(absl::StrCat("grammar: '", part, "' is no token id"));
      }
    }
  }
  return std::make_shared<const ScriptedGrammar>(std::move(positions), vocab);
}

}  // namespace quire::worker
