// Which of cuBLASLt's algorithms each shape of a step's products has: of those of kind 66, which sum as the
// decode GEMM's chain does, the one that was fastest here, now or at an earlier start. Whichever it is, the
// bits are the same. Owned beside the GEMMs that ask; one thread. What always holds: an algorithm that runs
// was offered by this library for this very shape; what an earlier start left only says which of them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "kernels/cuda/lt/lt_calls.h"

namespace quire::kernels::cuda {

// The choices of a start, for the next one.
using LtKept = std::map<LtShape, LtConfig>;

// What was chosen for a shape by timing, to be printed.
struct LtChoice {
  LtShape shape;
  int candidates = 0;
  double us = 0;               // of the fastest
  std::string algorithm = "";  // there is none
};

struct LtChoicesOptions {
  std::function<LtKept()> load = nullptr;              // asked once, by Choose; none: nothing is kept
  std::function<void(const LtKept&)> store = nullptr;  // of all choices, where there are new ones
  std::function<void(const LtChoice&)> chose = nullptr;
  // Of a Choose: before each that is timed, and at the end.
  std::function<void(int done, int of)> progress = nullptr;
};

class LtChoices {
 public:
  LtChoices(LtCalls calls, LtChoicesOptions options);

  // Chooses for the shapes of these products, whose y is written.
  void Choose(Stream& stream, std::span<const LtProduct> products);
  // A shape that comes for the first time is chosen for then, unless the stream is captured: kFailed.
  LtAnswer Run(Stream& stream, const LtProduct& product);
  // Of the library: its bits may be others than another's.
  size_t version() const { return calls_.version; }

 private:
  struct Chosen {
    std::unique_ptr<LtOperation> operation;  // null: there is no algorithm
    LtAlgorithm algorithm = {};
  };

  Chosen ChooseKept(const LtShape& shape, const LtConfig& kept);
  Chosen ChooseFastest(Stream& stream, const LtProduct& product);
  void Store() const;

  const LtCalls calls_;
  const LtChoicesOptions options_;
  std::map<LtShape, Chosen> chosen_;
};

}  // namespace quire::kernels::cuda
