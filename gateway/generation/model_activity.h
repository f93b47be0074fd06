// What this gateway has seen of each model lately: how many requests wait for their first token and how many
// have it, of the latest answers how long the first token took and how fast the others came, which numerics
// the latest was placed on, and how much of the time there was a group. Written by each request's coroutine
// and (Saw) by the watcher's thread, read by whoever shows it; any thread. Always: bounded, by kKept answers
// of each model and by the models that there were.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "gateway/generation/model_uptime.h"
#include "gateway/rpc/facts.h"

namespace quire::gateway {

class ModelActivity {
 public:
  static constexpr size_t kKept = 256;
  static constexpr int64_t kLatelyUs = 3'600'000'000;
  // Of fewer tokens a rate says nothing.
  static constexpr uint64_t kLeastTokens = 8;

  // Half of the answers were at least as good as p50, 95 of 100 as p95.
  struct Spread {
    double p50 = 0, p95 = 0;
  };
  struct Pace {
    uint64_t tokens = 0;  // of each choice
    int64_t took_us = 0;  // from the first to the last
  };
  struct Summary {
    size_t waiting = 0, running = 0;
    size_t answers = 0;  // lately, that had a token
    std::optional<Spread> first_token_s, tokens_per_s;
    std::string numerics_id;  // of the group that the latest request went to; empty: none did
    std::optional<double> uptime;
  };

  // A request, from its question for admission to its end.
  void Begin(const std::string& model) ABSL_LOCKS_EXCLUDED(mutex_);
  void Placed(const std::string& model, const std::string& numerics_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void FirstToken(const std::string& model, int64_t took_us, int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null: it had no token.
  void End(const std::string& model, std::optional<Pace> pace, int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_);
  // All models that there are now.
  void Saw(const std::vector<Facts::Model>& models, int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_);

  Summary Of(const std::string& model, int64_t now_us) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Sample {
    int64_t at_us = 0;
    double value = 0;
  };
  struct Seen {
    size_t waiting = 0, running = 0;
    std::deque<Sample> first_token_s, tokens_per_s;
    std::string numerics_id;
    ModelUptime uptime;
  };
  enum class Best { kLow, kHigh };

  static void Keep(std::deque<Sample>& samples, Sample sample);
  static std::vector<double> Lately(const std::deque<Sample>& samples, int64_t now_us);
  static std::optional<Spread> SpreadOf(std::vector<double> values, Best best);
  // A copy: what is worked out of it holds up no request.
  Seen SeenOf(const std::string& model) const ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Seen> models_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::gateway
