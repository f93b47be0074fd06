// How far the scores of a request's prompt have come. Its choices share it: whoever of them reads the prompt
// has the rows scored that no other one had, so preemptions and choices that end cost no score and double
// none. Owned by the request's sequences; engine thread only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>

#include "worker/engine/generation_request.h"

namespace quire::worker {

class ScoredPrompt {
 public:
  explicit ScoredPrompt(const GenerationRequest& request)
      : next_(request.scoring ? request.scoring->from : std::ssize(request.prompt_ids)),
        end_(std::ssize(request.prompt_ids)) {}

  bool done() const { return next_ >= end_; }
  // Of those that are to be scored: a row scores the token at the position behind its own.
  int64_t first_row() const { return done() ? std::numeric_limits<int64_t>::max() : next_ - 1; }
  // The first of `rows` rows at `position` that is to be scored, and how many are, which are consecutive.
  struct Rows {
    int64_t first = 0, count = 0;
  };
  Rows Within(int64_t position, int64_t rows) const {
    const int64_t first = std::max(position, first_row()), end = std::min(position + rows, end_ - 1);
    return {first, std::max<int64_t>(0, end - first)};
  }
  // The token at this position was scored. False: it had its score, or those before it have none yet.
  bool Take(int64_t position) {
    if (position != next_ || done()) return false;
    ++next_;
    return true;
  }

 private:
  int64_t next_;  // position without a score
  const int64_t end_;
};

}  // namespace quire::worker
