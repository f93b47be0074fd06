#include "gateway/rpc/watcher.h"

#include <utility>

#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

constexpr absl::Duration kReopenAfter = absl::Milliseconds(100);

}  // namespace

Watcher::Watcher(std::shared_ptr<grpc::Channel> coordinator, std::string gateway_id, Facts& facts,
                 const Clock& clock, std::function<void()> on_models)
    : gateway_id_(std::move(gateway_id)),
      facts_(facts),
      clock_(clock),
      on_models_(std::move(on_models)),
      client_(std::move(coordinator)),
      thread_([this] { Run(); }) {}

Watcher::~Watcher() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    stream_.reset();  // cancels
  }
  thread_.join();
}

void Watcher::Run() {
  v1::WatchRequest request;
  request.set_gateway_id(gateway_id_);
  MutexLock lock(&mutex_);
  while (!closing_) {
    facts_.BeginStream(clock_.NowUs());
    ended_ = false;
    stream_ = client_.Watch(
        request, [this](const v1::WatchEvent& event) { OnEvent(event); },
        [this](const absl::Status& end) { OnEnd(end); });
    mutex_.Await(absl::Condition(&ended_));
    mutex_.AwaitWithTimeout(absl::Condition(&closing_), kReopenAfter);
  }
}

void Watcher::OnEvent(const v1::WatchEvent& event) {
  if (event.event_case() == v1::WatchEvent::kSynced) {
    MutexLock lock(&mutex_);
    Note(absl::OkStatus());
  }
  if (facts_.Apply(event)) on_models_();
}

void Watcher::OnEnd(const absl::Status& end) {
  MutexLock lock(&mutex_);
  if (!closing_) Note(end.ok() ? absl::UnavailableError("the coordinator ended it") : end);
  ended_ = true;
}

void Watcher::Note(const absl::Status& status) {
  if (told_ == status.code()) return;
  if (status.ok()) {
    Log(LogLevel::kInfo, "watch_answered_again");
  } else {
    const auto left_out = outage_lines_.Take("watch_ended", clock_.NowUs());
    if (!left_out) return;
    Log(LogLevel::kWarn, "watch_ended", "reason", MessageOf(status), "lines_left_out", *left_out);
  }
  told_ = status.code();
}

}  // namespace quire::gateway
