#include "worker/parallel/tcp/door.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

constexpr const char* kMagic = "quire-ranks-1";
constexpr size_t kMostHelloBytes = 1024;
constexpr size_t kMostCallers = 3 * kMaxRanks + 64;  // each rank's links, and strangers

// Whom `check` refuses is told why.
absl::StatusOr<Guest> LetIn(Link link, const Hello& hello,
                            const std::function<absl::Status(const Hello&)>& check) {
  if (absl::Status taken = check(hello); !taken.ok()) {
    SendMessage(link, kRefusal + MessageOf(taken), {.until_us = MonotonicUs() + kTellLimitUs}).IgnoreError();
    return taken;
  }
  link.set_peer(absl::StrCat("rank ", hello.rank, " (", link.peer(), ")"));
  return Guest{hello, std::move(link)};
}

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

absl::Status Door::Accept() {
  QUIRE_ASSIGN_OR_RETURN(Fd socket, AcceptFrom(listener_.get()));
  if (!socket.valid()) return absl::OkStatus();
  const std::string address = PeerAddress(socket.get()).Text();
  Caller caller;
  caller.link = Link(std::move(socket), address);
  if (tls_ != nullptr) QUIRE_RETURN_IF_ERROR(caller.link.StartTls(*tls_, /*server=*/true));
  if (callers_.size() == kMostCallers) callers_.erase(callers_.begin());
  callers_.push_back(std::move(caller));
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Hello>> Door::Hear(Caller& caller) const {
  if (!caller.shook) {
    QUIRE_ASSIGN_OR_RETURN(caller.shook, caller.link.Handshake());
    if (!caller.shook) return std::nullopt;
  }
  while (true) {
    uint32_t length = 0;
    size_t wanted = sizeof(length);
    if (caller.said.size() >= sizeof(length)) {
      std::memcpy(&length, caller.said.data(), sizeof(length));
      wanted += length;
      if (length > kMostHelloBytes) {
        return absl::InvalidArgumentError(
            absl::StrCat(caller.link.peer(), " does not speak as a rank of a group does"));
      }
    }
    if (caller.said.size() == wanted) {
      QUIRE_ASSIGN_OR_RETURN(Hello hello, DecodeHello(caller.said.substr(sizeof(length))));
      return hello;
    }
    std::array<uint8_t, kMostHelloBytes> bytes;
    const size_t room = std::min(bytes.size(), wanted - caller.said.size());
    QUIRE_ASSIGN_OR_RETURN(const size_t count, caller.link.Read({bytes.data(), room}));
    if (count == 0) return std::nullopt;
    caller.said.append(reinterpret_cast<const char*>(bytes.data()), count);
  }
}

absl::StatusOr<Guest> Door::Next(std::span<Link* const> watched, int64_t until_us,
                                 const std::function<absl::Status(const Hello&)>& check) {
  while (true) {
    std::vector<pollfd> polled{{listener_.get(), POLLIN, 0}};
    for (const Link* link : watched) polled.push_back({link->fd(), POLLRDHUP, 0});
    for (const Caller& caller : callers_) polled.push_back({caller.link.fd(), caller.link.read_wants(), 0});
    const int64_t left_us = until_us - MonotonicUs();
    if (left_us <= 0) return absl::DeadlineExceededError("not all ranks came");
    poll(polled.data(), polled.size(), static_cast<int>(std::min<int64_t>(left_us / 1000 + 1, 60'000)));
    for (size_t i = 0; i < watched.size(); ++i) {
      if (polled[1 + i].revents != 0) return absl::UnavailableError(watched[i]->peer());
    }
    for (size_t i = callers_.size(); i-- > 0;) {
      if (polled[1 + watched.size() + i].revents == 0) continue;
      const absl::StatusOr<std::optional<Hello>> hello = Hear(callers_[i]);
      if (hello.ok() && !hello->has_value()) continue;
      Link link = std::move(callers_[i].link);
      callers_.erase(callers_.begin() + static_cast<std::ptrdiff_t>(i));
      absl::StatusOr<Guest> guest =
          hello.ok() ? LetIn(std::move(link), **hello, check) : absl::StatusOr<Guest>(hello.status());
      if (guest.ok()) return guest;
      Log(LogLevel::kWarn, "rank_refused", "reason", MessageOf(guest.status()));
    }
    if (polled[0].revents != 0) QUIRE_RETURN_IF_ERROR(Accept());
  }
}

}  // namespace quire::worker
