#include "worker/rpc/generate_service.h"

#include "worker/rpc/request_validation.h"

namespace quire::worker {

grpc::ServerWriteReactor<v1::GenerateReply>* GenerateService::Generate(grpc::CallbackServerContext*,
                                                                       const v1::GenerateRequest* request) {
  auto stream = std::make_shared<GenerateStream>(this, engine_, model_.numerics_id);
  absl::Status failed;
  {
    MutexLock lock(&mutex_);
    open_.emplace(stream.get(), stream);
    failed = failed_;
  }
  if (failed.ok()) {
    stream->Start(ValidateRequest(*request, model_, group_epoch_));
  } else {
    stream->Fail(failed);
  }
  return stream.get();
}

void GenerateService::Beat() {
  for (const auto& stream : Open()) stream->Beat();
}

void GenerateService::FailAll(const absl::Status& why) {
  {
    MutexLock lock(&mutex_);
    failed_ = why;
  }
  for (const auto& stream : Open()) stream->Fail(why);
}

std::vector<std::shared_ptr<GenerateStream>> GenerateService::Open() {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<GenerateStream>> streams;
  for (const auto& [key, stream] : open_) streams.push_back(stream);
  return streams;
}

void GenerateService::Forget(GenerateStream* stream) {
  std::shared_ptr<GenerateStream> last;  // destroyed after the lock is gone
  MutexLock lock(&mutex_);
  if (auto it = open_.find(stream); it != open_.end()) {
    last = std::move(it->second);
    open_.erase(it);
  }
}

}  // namespace quire::worker
