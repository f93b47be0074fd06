#include "worker/parallel/tcp/door.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

constexpr const char* kMagic = "quire-ranks-1";
constexpr size_t kMostHelloBytes = 1024, kMostSilent = 64;
constexpr int64_t kHelloLimitUs = 20'000'000;

}  // namespace

std::string EncodeHello(const Hello& hello) {
  return absl::StrCat(kMagic, "\n", static_cast<int>(hello.kind), "\n", hello.rank, "\n", hello.size, "\n",
                      hello.port, "\n", hello.secret);
}

absl::StatusOr<Hello> DecodeHello(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, absl::MaxSplits('\n', 5));
  Hello hello;
  int kind = 0;
  if (lines.size() != 6 || lines[0] != kMagic || !absl::SimpleAtoi(lines[1], &kind) || kind < 0 ||
      kind > static_cast<int>(LinkKind::kPlans) || !absl::SimpleAtoi(lines[2], &hello.rank) ||
      !absl::SimpleAtoi(lines[3], &hello.size) || !absl::SimpleAtoi(lines[4], &hello.port)) {
    return absl::InvalidArgumentError("the ranks of this group are of different builds of this program");
  }
  hello.kind = static_cast<LinkKind>(kind);
  hello.secret = lines[5];
  return hello;
}

absl::StatusOr<Guest> Door::LetIn(Fd socket) const {
  const WaitLimit limit{.until_us = MonotonicUs() + kHelloLimitUs};
  Guest guest;
  const std::string address = PeerAddress(socket.get()).Text();
  guest.link = Link(std::move(socket), address);
  if (tls_ != nullptr) {
    QUIRE_RETURN_IF_ERROR(guest.link.StartTls(*tls_, /*server=*/true));
    QUIRE_RETURN_IF_ERROR(FinishHandshake(guest.link, limit));
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ReadMessage(guest.link, kMostHelloBytes, limit));
  QUIRE_ASSIGN_OR_RETURN(guest.hello, DecodeHello(text));
  guest.link.set_peer(absl::StrCat("rank ", guest.hello.rank, " (", address, ")"));
  return guest;
}

absl::StatusOr<Guest> Door::Next(std::span<Link* const> watched, int64_t until_us,
                                 const std::function<absl::Status(const Hello&)>& check) {
  while (true) {
    std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
    for (const Link* link : watched) polled.push_back({link->fd(), POLLRDHUP, 0});
    for (const Fd& fd : silent_) polled.push_back({fd.get(), POLLIN, 0});
    const int64_t left_us = until_us - MonotonicUs();
    if (left_us <= 0) return absl::DeadlineExceededError("not all ranks came");
    poll(polled.data(), polled.size(), static_cast<int>(std::min<int64_t>(left_us / 1000 + 1, 60'000)));
    for (size_t i = 0; i < watched.size(); ++i) {
      if (polled[1 + i].revents != 0) return absl::UnavailableError(watched[i]->peer());
    }
    for (size_t i = silent_.size(); i-- > 0;) {
      if (polled[1 + watched.size() + i].revents == 0) continue;
      Fd socket = std::move(silent_[i]);
      silent_.erase(silent_.begin() + static_cast<std::ptrdiff_t>(i));
      absl::StatusOr<Guest> guest = LetIn(std::move(socket));
      absl::Status taken = guest.ok() ? check(guest->hello) : guest.status();
      if (taken.ok()) return guest;
      Log(LogLevel::kWarn, "rank_refused", "reason", MessageOf(taken));
      if (!guest.ok()) continue;
      SendMessage(guest->link, kRefusal + MessageOf(taken), {.until_us = MonotonicUs() + kHelloLimitUs})
          .IgnoreError();
    }
    if (polled[0].revents == 0) continue;
    Fd socket = AcceptFrom(listener_.get());
    if (!socket.valid()) continue;
    if (silent_.size() == kMostSilent) silent_.erase(silent_.begin());
    silent_.push_back(std::move(socket));
  }
}

}  // namespace quire::worker
