// What a step costs, learned from recent ones: a step's time as a sum over what it does, each part at a
// price. Deterministic and without a clock: whoever measures (the engine, which owns it) calls Observe, and
// equal calls give equal prices. Engine thread only. What always holds: prices are finite and not negative;
// one slow step (a pause of the machine) changes nothing, a second one like it is believed at once.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace quire::worker {

// Keys that `rows` rows from `position` on attend to, all together.
constexpr int64_t KeysOf(int64_t position, int64_t rows) { return rows * position + rows * (rows + 1) / 2; }

// What a step does.
struct StepWork {
  int64_t decode_rows = 0;  // one for each sequence that only decodes
  int64_t prompt_rows = 0;
  int64_t keys = 0;
};

// What the next step's work will cost, in microseconds. All zero: nothing is known, nothing is limited.
struct StepPrices {
  double step_us = 0;  // whatever it does
  double decode_row_us = 0, prompt_row_us = 0;
  double key_us = 0;
  // More prompt rows than this beside decodes would be a guess: nothing like it has been measured.
  int64_t known_prompt_rows = std::numeric_limits<int64_t>::max();

  double TimeOf(const StepWork& work) const;
  // How many rows of a prompt, from `position` on, take at most `us` beside what else the step does.
  int64_t PromptRowsWithin(double us, int64_t position) const;
};

class StepCosts {
 public:
  // `took_us`: of a step that ran to its end.
  void Observe(const StepWork& work, int64_t took_us);
  // Raised by the error of recent estimates, so that a noisy machine keeps to a limit too.
  StepPrices prices() const;

 private:
  static constexpr int kPrices = 4;  // in the order of StepPrices
  using Vector = std::array<double, kPrices>;

  // The prices may have changed since the last step: by `common` of themselves all together, each by `own`.
  void Loosen(const Vector& parts, double common, double own);
  void Correct(const Vector& parts);
  void KeepFromBelowZero();

  Vector prices_{};
  std::array<Vector, kPrices> covariance_{};
  double error_ = 0;  // of recent estimates, relative, mean
  // Whether the last step took much more (1) or much less (-1) than estimated: without prompt rows, and with.
  std::array<int, 2> surprise_{};
  int64_t most_prompt_rows_ = 0;  // of a measured step
};

}  // namespace quire::worker
