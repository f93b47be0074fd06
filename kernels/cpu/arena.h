// Zeroed memory in huge pages, handed out one piece after the other and freed all at once: what is added in
// execution order lies in execution order, so that prefetching past one matrix fetches the next. Pages that
// are never touched cost nothing. One thread allocates.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace quire::kernels::cpu {

class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(Arena&& other) noexcept
      : regions_(std::move(other.regions_)), next_(other.next_), left_(other.left_) {
    other.regions_.clear();
    other.left_ = 0;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  Arena& operator=(Arena&&) = delete;

  // `bytes` > 0, aligned to a cache line. ResourceExhausted when the system has no address space left.
  absl::StatusOr<void*> Allocate(int64_t bytes);

  template <typename T>
  absl::StatusOr<T*> AllocateArray(int64_t count) {
    absl::StatusOr<void*> memory = Allocate(count * static_cast<int64_t>(sizeof(T)));
    if (!memory.ok()) return memory.status();
    return static_cast<T*>(*memory);
  }

 private:
  struct Region {
    void* address;
    size_t bytes;
  };
  absl::Status Map(int64_t bytes);

  std::vector<Region> regions_;
  std::byte* next_ = nullptr;
  int64_t left_ = 0;
};

}  // namespace quire::kernels::cpu
