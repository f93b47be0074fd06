// What Watch has told this gateway: the keys and the models, their limits and prices. Written by the
// watcher's thread, read by every request's; values are immutable and shared, so a reader keeps what it
// looked up. Always: after a reconnect readers see the old state until the new one is complete (`synced`),
// then the new one at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

class Facts {
 public:
  using Key = std::shared_ptr<const v1::KeyFact>;
  using Model = std::shared_ptr<const v1::ModelFact>;

  // nullptr: unknown or revoked.
  Key FindKey(const std::string& key_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  Model FindModel(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Model> Models() const ABSL_LOCKS_EXCLUDED(mutex_);
  // A full state has been seen, ever.
  bool synced() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The stream that stands now has brought a full state: what readers see is what the coordinator says.
  bool current() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Where it is not so: for how long, of the time that this process was awake. An absence begins as a new
  // stream does, in place of the one that ended; each further one says that we are awake.
  std::optional<int64_t> AwayForUs(int64_t now_us) const ABSL_LOCKS_EXCLUDED(mutex_);

  // A new stream begins: what follows up to `synced` is a full state.
  void BeginStream(int64_t now_us) ABSL_LOCKS_EXCLUDED(mutex_);
  // True where the set of models, as readers see it, may have changed.
  bool Apply(const v1::WatchEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct State {
    absl::flat_hash_map<std::string, Key> keys;
    absl::flat_hash_map<std::string, Model> models;
  };
  static bool ApplyTo(State& state, const v1::WatchEvent& event);

  mutable Mutex mutex_;
  State current_ ABSL_GUARDED_BY(mutex_);
  State arriving_ ABSL_GUARDED_BY(mutex_);
  bool stream_synced_ ABSL_GUARDED_BY(mutex_) = false;
  bool ever_synced_ ABSL_GUARDED_BY(mutex_) = false;
  struct Absence {
    int64_t until_last_try_us = 0, last_try_us = 0;
    int64_t AwakeUs(int64_t now_us) const;  // since it began
  };
  std::optional<Absence> absence_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::gateway
