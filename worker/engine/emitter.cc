#include "worker/engine/emitter.h"

#include <utility>

namespace quire::worker {

Emitter::Emitter(UpdateSink sink) : sink_(std::move(sink)), thread_([this] { Run(); }) {}

Emitter::~Emitter() { Stop(); }

void Emitter::Post(std::vector<Update> updates) {
  MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &Emitter::HasRoom));
  waiting_.push_back(std::move(updates));
}

void Emitter::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Emitter::Run() {
  for (;;) {
    std::vector<std::vector<Update>> batches;
    {
      MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &Emitter::HasWork));
      batches.swap(waiting_);
    }
    if (batches.empty()) return;  // it is to stop
    for (std::vector<Update>& batch : batches) sink_(std::move(batch));
  }
}

}  // namespace quire::worker
