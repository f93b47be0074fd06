// Structured output: which ids a grammar lets come next. The engine owns these interfaces; who assembles a
// worker plugs an implementation in, or none: then a request with a grammar is refused at the door. A stop id
// is no grammar's: it sees none, and says where one may come. What always holds: a state belongs to one
// choice, and has accepted exactly its output.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/ids.h"

namespace quire::worker {

// Engine thread only.
class GrammarState {
 public:
  virtual ~GrammarState() = default;
  // Goes past the id. False where it may not come here; the state is of no use then.
  virtual bool Accept(TokenId id) = 0;
  // Writes a bit for each id that may come next, id 0's the lowest of the first word. False where every id
  // may: then the words may be anything.
  virtual bool FillMask(std::span<uint32_t> mask) = 0;
  // Whether what has come is whole. Where nothing more may come then, the choice is finished.
  virtual bool CanStop() const = 0;
  // Why it can't be followed any further, whatever the mask says.
  virtual absl::Status status() const { return absl::OkStatus(); }
  // Of its thread's time, by all calls so far.
  virtual int64_t spent_us() const { return 0; }
};

// Shared by a request's choices; any thread.
class CompiledGrammar {
 public:
  virtual ~CompiledGrammar() = default;
  virtual std::unique_ptr<GrammarState> Start() const = 0;
  // Ids are below it: a mask has a bit for each.
  virtual int64_t vocab() const = 0;
  // Of memory that it holds.
  virtual size_t bytes() const = 0;
};

class GrammarCompiler {
 public:
  virtual ~GrammarCompiler() = default;
  // InvalidArgument says what is wrong with the source, or that the kind is unknown. Any thread, several at
  // once; may take as long as it takes.
  virtual absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const std::string& kind,
                                                                         const std::string& source,
                                                                         int64_t vocab) const = 0;
};

}  // namespace quire::worker
