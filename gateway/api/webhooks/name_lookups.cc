#include "gateway/api/webhooks/name_lookups.h"

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/async/mailbox.h"
#include "base/core/log.h"
#include "gateway/api/turn_queue.h"

namespace quire::gateway {
namespace {

constexpr size_t kMaxWaiting = 4096, kMaxWaitingPerAccount = kMaxWaiting / 4;

}  // namespace

struct NameLookups::Shared {
  TurnQueue queue{{.waiting = kMaxWaiting,
                   .waiting_per_account = kMaxWaitingPerAccount,
                   .running_per_account = kThreadsPerAccount}};
  const LookUp look_up;

  explicit Shared(LookUp look_up) : look_up(std::move(look_up)) {}
  absl::StatusOr<Addresses> Ask(const std::string& host) const {
    try {
      return look_up(host);
    } catch (...) {
      Log(LogLevel::kError, "look_up_threw");
      return absl::UnavailableError("the name could not be looked up");
    }
  }
};

NameLookups::NameLookups(LookUp look_up) : shared_(std::make_shared<Shared>(std::move(look_up))) {
  for (size_t i = 0; i < kThreads; ++i) std::thread([shared = shared_] { Serve(*shared); }).detach();
}

// Who waits for a name is not joined: a name server that is silent would hold the program's end.
NameLookups::~NameLookups() { shared_->queue.Close(); }

void NameLookups::Serve(Shared& shared) {
  while (std::optional<TurnQueue::Turn> turn = shared.queue.Pop()) {
    turn->job();
    turn->job = nullptr;
    shared.queue.Done(turn->account);
  }
}

boost::asio::awaitable<absl::StatusOr<NameLookups::Addresses>> NameLookups::Find(
    const http::HttpsPost& post, std::chrono::milliseconds limit) {
  using Found = absl::StatusOr<Addresses>;
  const auto found = std::make_shared<Mailbox<Found>>();
  const auto id = shared_->queue.TryPush(
      post.owner, [found, host = post.url.host, shared = shared_.get()] { found->Push(shared->Ask(host)); });
  if (!id) co_return absl::UnavailableError("too many names are being looked up");
  if (post.on_end) post.on_end([found] { found->Push(absl::CancelledError("it was ended")); });
  std::vector<Found> all = co_await found->WaitFor(limit);
  if (post.on_end) post.on_end(nullptr);
  shared_->queue.Remove(post.owner, *id);  // nobody wants it any more, if it was not begun
  if (all.empty()) co_return absl::DeadlineExceededError("the name was not looked up in time");
  co_return std::move(all.front());
}

}  // namespace quire::gateway
