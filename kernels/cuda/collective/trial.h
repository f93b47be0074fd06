// Whether a communicator between GPUs does, on these GPUs, what the group's own exchange does: before it is
// trusted with a model. Every rank calls it at the same point, and then tells the others (same_for_all.h);
// the thread that starts the rank.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/communicator.h"
#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct TrialOptions {
  int64_t many_bytes = 0;         // of the larger of the sums
  int64_t limit_us = 30'000'000;  // for what would take milliseconds: then `tried` is stopped, for good
};

// For want of the others, which may know better why.
inline constexpr char kWaitedInVain[] = "it waited in vain for another rank";

// "" or what is wrong with `tried` here: one row, many rows, columns gathered, words of
// rank 0. An error where `host` has one.
// The device's memory is allocated before anything is enqueued that waits for another rank, since that waits
// for all that runs on it.
absl::StatusOr<std::string> WhyNotAsTheHost(Stream& stream, Communicator& tried, Communicator& host,
                                            const TrialOptions& options);

}  // namespace quire::kernels::cuda
