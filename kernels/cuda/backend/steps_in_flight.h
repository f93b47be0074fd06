// The steps that ended with a Sample and were not read yet, two at most: each with the place on the stream
// that is behind all its work, and with what went wrong while it was queued. Owned by the CUDA backend and
// called by its thread. What always holds: waiting for the oldest waits for nothing behind it, and its errors
// are its own, but for those of the device, after which no step is right.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "kernels/cuda/backend/staged_array.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cuda {

class StepsInFlight {
 public:
  explicit StepsInFlight(Stream& stream)
      : steps_{Ended{.end = Event(stream), .error = ""}, Ended{.end = Event(stream), .error = ""}} {}

  // The place of the step that ends next: nothing that is queued uses it.
  int NextPlace() const {
    CheckOp(ended_ - landed_ < kStepsInFlight, "Sample", "two steps are in flight already");
    return PlaceOf(ended_);
  }
  // The step ends here, with all errors of the stream since the one before did.
  void End(Stream& stream) {
    Ended& step = steps_[NextPlace()];
    step.end.Record(stream);
    step.error = stream.TakeError();
    ++ended_;
  }
  // Waits for the oldest: its place, and "" or what went wrong.
  std::pair<int, std::string> Land(Stream& stream) {
    CheckOp(landed_ < ended_, "ReadSampled", "no step is in flight");
    const int place = PlaceOf(landed_++);
    std::string waited = steps_[place].end.Wait(stream);
    std::string& queued = steps_[place].error;
    return {place, queued.empty() ? std::move(waited) : std::move(queued)};
  }
  // Of all that are in flight, without waiting.
  std::string FirstError() const {
    for (int64_t step = landed_; step < ended_; ++step) {
      if (const std::string& error = steps_[PlaceOf(step)].error; !error.empty()) return error;
    }
    return "";
  }
  void Forget() { landed_ = ended_; }

 private:
  struct Ended {
    Event end;
    std::string error;
  };
  static int PlaceOf(int64_t step) { return static_cast<int>(step % kStepsInFlight); }

  std::array<Ended, kStepsInFlight> steps_;
  int64_t ended_ = 0, landed_ = 0;
};

}  // namespace quire::kernels::cuda
