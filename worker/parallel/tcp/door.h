// Where a rank lets the others in while a group meets: a listening socket, and what a guest must say first.
// Who says nothing, or says it bit by bit, such as port scanners and probes, keeps nobody waiting; who says
// what is wrong is told so and sent away. Used by the thread that starts the rank.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/tcp/sockets.h"
#include "worker/parallel/tcp/transfer.h"

namespace quire::worker {

// What a link is for.
enum class LinkKind { kMeeting, kBeats, kExchange, kPlans };

// The first message on every link, from who dials.
struct Hello {
  LinkKind kind = LinkKind::kMeeting;
  int rank = 0, size = 0;
  int port = 0;        // where the dialler lets others in; kMeeting only
  std::string secret;  // kMeeting: what all workers know where there is no TLS; else what rank 0 gave
};
std::string EncodeHello(const Hello& hello);
// InvalidArgument: no rank of a group of this program spoke.
absl::StatusOr<Hello> DecodeHello(const std::string& text);

struct Guest {
  Hello hello;
  Link link;
};

class Door {
 public:
  // `tls` may be null: links in the clear.
  Door(Fd listener, std::shared_ptr<const TlsContext> tls)
      : listener_(std::move(listener)), tls_(std::move(tls)) {}
  int port() const { return LocalAddress(listener_.get()).port(); }
  // The next one whose hello `check` takes; what it says against others is their answer. DeadlineExceeded:
  // none came. Unavailable, with its peer: a link of `watched` ended. ResourceExhausted, with what to do:
  // this process can let nobody in.
  absl::StatusOr<Guest> Next(std::span<Link* const> watched, int64_t until_us,
                             const std::function<absl::Status(const Hello&)>& check);

 private:
  // Who is connected and has not said all of its hello yet.
  struct Caller {
    Link link;
    bool shook = false;  // hands: TLS
    std::string said;    // of the hello, behind its length
  };

  absl::Status Accept();
  // Takes what has come and no byte beyond the hello, which it returns once it is whole.
  absl::StatusOr<std::optional<Hello>> Hear(Caller& caller) const;

  Fd listener_;
  std::shared_ptr<const TlsContext> tls_;
  std::vector<Caller> callers_;
};

// The first byte of an answer to a hello: the rest is for it, or says why not.
inline constexpr char kWelcome = '+', kRefusal = '-';
// How long its peer may need to take an answer that ends the meeting.
inline constexpr int64_t kTellLimitUs = 5'000'000;

}  // namespace quire::worker
