#include "worker/parallel/tcp/meeting.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/core/hash.h"
#include "base/core/host_port.h"
#include "base/core/secret_file.h"
#include "base/core/status.h"
#include "worker/parallel/liveness.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

constexpr size_t kMostAnswerBytes = 1 << 16;

std::vector<Link>& LinksOf(MeetingLinks& links, LinkKind kind) {
  switch (kind) {
    case LinkKind::kMeeting:
      return links.star;
    case LinkKind::kBeats:
      return links.beats;
    case LinkKind::kExchange:
      return links.exchange;
    case LinkKind::kPlans:
      break;
  }
  return links.plans;
}

absl::Status CheckClear(const MeetingOptions& options, const SocketAddress& address) {
  if (!options.tls.empty()) return absl::OkStatus();
  if (!address.IsLoopback() && !options.insecure) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to exchange tensors with other hosts (", options.rendezvous,
                     ") without mTLS: give --tls-cert, --tls-key and --tls-ca, or --insecure"));
  }
  if (!options.secret.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "without mTLS the ranks of a group know each other by a secret: give --worker-secret-file, the same "
      "for "
      "all of them (worker_secret of the coordinator's data folder, or any file with 64 hex digits)");
}

class Meeting {
 public:
  Meeting(const MeetingOptions& options, HostPort place, std::shared_ptr<const TlsContext> tls)
      : options_(options),
        place_(std::move(place)),
        tls_(std::move(tls)),
        until_us_(MonotonicUs() + options.timeout_ms * 1000) {
    for (auto* links : {&links_.star, &links_.plans, &links_.beats, &links_.exchange}) {
      links->resize(static_cast<size_t>(options.size));
    }
  }
  absl::Status Host();
  absl::Status Visit();
  MeetingLinks TakeLinks() { return std::move(links_); }

 private:
  absl::StatusOr<Door> OpenAtRendezvous() const;
  absl::Status CheckVisitor(const Hello& hello) const;
  absl::Status GatherVisitors(Door& door);
  absl::Status Introduce();
  absl::Status DialLower(const std::vector<std::string>& places);
  absl::Status AwaitHigher(Door& door);
  absl::Status AwaitAllMet();
  absl::StatusOr<Fd> Reach(const HostPort& place, int64_t until_us, const std::string& who,
                           const std::string& advice) const;
  // Under TLS 1.3 who is refused hears only that the connection ended.
  absl::Status MayBeRefused(const absl::Status& ended) const;
  absl::StatusOr<Link> Greet(Fd socket, const Hello& hello, int rank) const;
  // What is said on a link of the star: all is well, or why the meeting ends there.
  absl::Status Hear(Link& link, int64_t until_us);
  // Why a watched link woke the door: what is said on it, or that it ended.
  absl::Status WhyEnded(const std::string& peer);
  absl::Status NotAllCame(LinkKind kind) const;
  // Why the door let nobody in, where links of that kind were waited for.
  absl::Status WhyNobody(const absl::Status& said, LinkKind kind);
  void TellAll(const std::string& answer);
  bool Has(LinkKind kind, int rank) { return LinksOf(links_, kind)[static_cast<size_t>(rank)].open(); }
  std::vector<Link*> Watched();

  const MeetingOptions& options_;
  const HostPort place_;
  const std::shared_ptr<const TlsContext> tls_;
  const int64_t until_us_;
  std::vector<HostPort> visitors_;  // where each listens, by rank
  std::string word_;                // by which the ranks of this group know each other from now on
  MeetingLinks links_;
};

// ---- rank 0 ----

absl::StatusOr<Door> Meeting::OpenAtRendezvous() const {
  QUIRE_ASSIGN_OR_RETURN(const auto addresses, ResolveInTime(place_, until_us_));
  absl::Status why = absl::UnavailableError("it has no address");
  for (const SocketAddress& address : addresses) {
    QUIRE_RETURN_IF_ERROR(CheckClear(options_, address));
    absl::StatusOr<Fd> listener = ListenAt(address);
    if (listener.ok()) return Door(*std::move(listener), tls_);
    why = listener.status();
    if (absl::IsAlreadyExists(why)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "there is a rank 0, or another program, at ", MessageOf(why),
          " already: give each rank of a group its own --rank, and each group its own --rendezvous"));
    }
  }
  if (!absl::IsFailedPrecondition(why)) return why;
  return absl::FailedPreconditionError(absl::StrCat("--rendezvous ", options_.rendezvous,
                                                    " is no address of this host, which rank 0 listens at: "
                                                    "give one that is, or 0.0.0.0:",
                                                    place_.port,
                                                    " here and this host's name to the other ranks"));
}

absl::Status Meeting::CheckVisitor(const Hello& hello) const {
  if (hello.kind != LinkKind::kMeeting) return absl::InvalidArgumentError("the group is not complete yet");
  if (tls_ == nullptr && !ConstantTimeEqual(hello.secret, options_.secret)) {
    return absl::PermissionDeniedError(
        "this rank does not know the group's secret: give all ranks the same --worker-secret-file");
  }
  if (hello.rank < 1 || (hello.size == options_.size && hello.rank >= hello.size)) {
    return absl::InvalidArgumentError(absl::StrCat("no other rank can be rank ", hello.rank));
  }
  if (hello.size == options_.size && links_.star[static_cast<size_t>(hello.rank)].open()) {
    return absl::InvalidArgumentError(absl::StrCat("there is a rank ", hello.rank, " in the group at ",
                                                   options_.rendezvous,
                                                   " already: give each rank of a group its own --rank"));
  }
  return absl::OkStatus();
}

absl::Status Meeting::GatherVisitors(Door& door) {
  visitors_.resize(static_cast<size_t>(options_.size));
  for (int missing = options_.size - 1; missing > 0; --missing) {
    const std::vector<Link*> watched = Watched();
    absl::StatusOr<Guest> guest =
        door.Next(watched, until_us_, [this](const Hello& h) { return CheckVisitor(h); });
    if (!guest.ok()) return WhyNobody(guest.status(), LinkKind::kMeeting);
    const Hello& hello = guest->hello;
    if (hello.size != options_.size) {
      const std::string why =
          absl::StrCat("rank ", hello.rank, " was started with --ranks ", hello.size, ", rank 0 with ",
                       options_.size, ": start all ranks of a group alike");
      SendMessage(guest->link, kRefusal + why, {.until_us = MonotonicUs() + kTellLimitUs}).IgnoreError();
      return absl::InvalidArgumentError(why);
    }
    const auto place = static_cast<size_t>(hello.rank);
    visitors_[place] = {PeerAddress(guest->link.fd()).HostText(), hello.port};
    links_.star[place] = std::move(guest->link);
  }
  return absl::OkStatus();
}

absl::Status Meeting::Introduce() {
  word_ = MakeSecret();
  std::vector<std::string> lines{word_};
  for (size_t r = 1; r < visitors_.size(); ++r) {
    lines.push_back(JoinHostPort(visitors_[r].host, visitors_[r].port));
  }
  const std::string answer = kWelcome + absl::StrJoin(lines, "\n");
  for (int r = 1; r < options_.size; ++r) {
    QUIRE_RETURN_IF_ERROR(SendMessage(links_.star[static_cast<size_t>(r)], answer, {.until_us = until_us_}));
  }
  return absl::OkStatus();
}

void Meeting::TellAll(const std::string& answer) {
  for (Link* link : Watched()) {
    SendMessage(*link, answer, {.until_us = MonotonicUs() + kTellLimitUs}).IgnoreError();
  }
}

absl::Status Meeting::Host() {
  absl::StatusOr<Door> door = OpenAtRendezvous();
  if (!door.ok()) return door.status();
  absl::Status met = GatherVisitors(*door);
  if (met.ok()) met = Introduce();
  if (met.ok()) met = AwaitHigher(*door);
  if (met.ok()) met = AwaitAllMet();
  TellAll(met.ok() ? std::string(1, kWelcome) : kRefusal + MessageOf(met));
  return met;
}

// In whatever order they say so, and whoever says that it can't be.
absl::Status Meeting::AwaitAllMet() {
  std::vector<Link*> waiting = Watched();
  while (!waiting.empty()) {
    std::vector<pollfd> polled;
    for (const Link* link : waiting) polled.push_back({link->fd(), POLLIN, 0});
    const int64_t left_us = until_us_ - MonotonicUs();
    if (left_us <= 0) {
      return absl::UnavailableError(absl::StrCat(waiting.front()->peer(),
                                                 " has not reached every other rank in ",
                                                 options_.timeout_ms / 1000, " s"));
    }
    poll(polled.data(), polled.size(), static_cast<int>(left_us / 1000 + 1));
    for (size_t i = polled.size(); i-- > 0;) {
      if (polled[i].revents == 0) continue;
      QUIRE_RETURN_IF_ERROR(Hear(*waiting[i], MonotonicUs() + kTellLimitUs));
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return absl::OkStatus();
}

// ---- the others ----

absl::StatusOr<Fd> Meeting::Reach(const HostPort& place, int64_t until_us, const std::string& who,
                                  const std::string& advice) const {
  absl::StatusOr<Fd> socket = Dial(place, until_us);
  if (absl::IsResourceExhausted(socket.status())) {
    return absl::ResourceExhaustedError(
        absl::StrCat("rank ", options_.rank, " ", MessageOf(socket.status())));
  }
  if (!socket.ok()) {
    return absl::UnavailableError(absl::StrCat(who, " at ", JoinHostPort(place.host, place.port), " (",
                                               MessageOf(socket.status()), "): ", advice));
  }
  QUIRE_RETURN_IF_ERROR(CheckClear(options_, PeerAddress(socket->get())));
  return socket;
}

absl::StatusOr<Link> Meeting::Greet(Fd socket, const Hello& hello, int rank) const {
  Link link(std::move(socket), absl::StrCat("rank ", rank));
  const WaitLimit limit{.until_us = until_us_};
  if (tls_ != nullptr) {
    QUIRE_RETURN_IF_ERROR(link.StartTls(*tls_, /*server=*/false));
    QUIRE_RETURN_IF_ERROR(FinishHandshake(link, limit));
  }
  QUIRE_RETURN_IF_ERROR(SendMessage(link, EncodeHello(hello), limit));
  return link;
}

absl::Status Meeting::MayBeRefused(const absl::Status& ended) const {
  if (tls_ == nullptr || !absl::IsUnavailable(ended)) return ended;
  return absl::UnavailableError(
      absl::StrCat(MessageOf(ended), "; if rank 0 refused this certificate, its log says so (rank_refused)"));
}

absl::Status Meeting::Visit() {
  QUIRE_ASSIGN_OR_RETURN(
      Fd socket, Reach(place_, until_us_, "no rank 0",
                       absl::StrCat("start all ranks of the group within ", options_.timeout_ms / 1000,
                                    " s, each with --rendezvous HOST:PORT of rank 0")));
  // The others reach this host by the address that rank 0 sees.
  QUIRE_ASSIGN_OR_RETURN(Fd listener, ListenAt(LocalAddress(socket.get()).WithPort(0)));
  Door door(std::move(listener), tls_);
  const Hello hello{LinkKind::kMeeting, options_.rank, options_.size, door.port(),
                    tls_ == nullptr ? options_.secret : ""};
  absl::StatusOr<Link> greeted = Greet(std::move(socket), hello, 0);
  if (!greeted.ok()) return MayBeRefused(greeted.status());
  links_.star[0] = *std::move(greeted);
  absl::StatusOr<std::string> answer = ReadMessage(links_.star[0], kMostAnswerBytes, {.until_us = until_us_});
  if (absl::IsDeadlineExceeded(answer.status())) {
    return absl::UnavailableError(absl::StrCat("the group at ", options_.rendezvous, " did not gather in ",
                                               options_.timeout_ms / 1000, " s: see rank 0's log"));
  }
  if (!answer.ok()) return MayBeRefused(answer.status());
  if (answer->empty() || answer->front() != kWelcome) {
    return absl::InvalidArgumentError(answer->empty() ? "rank 0 refuses" : answer->substr(1));
  }
  std::vector<std::string> places = absl::StrSplit(answer->substr(1), '\n');
  if (std::ssize(places) != options_.size)
    return absl::InvalidArgumentError("rank 0's answer does not parse");
  word_ = places[0];
  absl::Status met = DialLower(places);
  if (met.ok()) met = AwaitHigher(door);
  TellAll(met.ok() ? std::string(1, kWelcome) : kRefusal + MessageOf(met));
  return met.ok() ? Hear(links_.star[0], until_us_) : met;
}

absl::Status Meeting::DialLower(const std::vector<std::string>& places) {
  for (int r = 0; r < options_.rank; ++r) {
    HostPort place = place_;
    if (r > 0) {
      QUIRE_ASSIGN_OR_RETURN(place, ParseHostPort(places[static_cast<size_t>(r)], 0));
    }
    for (const LinkKind kind : {LinkKind::kBeats, LinkKind::kExchange, LinkKind::kPlans}) {
      if (kind == LinkKind::kPlans && r != 0) continue;
      const Hello hello{kind, options_.rank, options_.size, 0, word_};
      QUIRE_ASSIGN_OR_RETURN(Fd socket,
                             Reach(place, std::min(until_us_, MonotonicUs() + options_.reach_ms * 1000),
                                   absl::StrCat("rank ", options_.rank, " can't reach rank ", r),
                                   "let every host of the group reach the others, at any port"));
      QUIRE_ASSIGN_OR_RETURN(LinksOf(links_, kind)[static_cast<size_t>(r)],
                             Greet(std::move(socket), hello, r));
    }
  }
  return absl::OkStatus();
}

// ---- all ----

absl::Status Meeting::AwaitHigher(Door& door) {
  const auto check = [this](const Hello& hello) -> absl::Status {
    if (!ConstantTimeEqual(hello.secret, word_)) {
      return absl::PermissionDeniedError("a rank of another group; this one is complete");
    }
    const bool due = hello.size == options_.size && hello.rank > options_.rank &&
                     hello.rank < options_.size && hello.kind != LinkKind::kMeeting &&
                     !Has(hello.kind, hello.rank) && (hello.kind != LinkKind::kPlans || options_.rank == 0);
    return due ? absl::OkStatus() : absl::InvalidArgumentError("this link is not due");
  };
  const int kinds = options_.rank == 0 ? 3 : 2;
  for (int missing = kinds * (options_.size - 1 - options_.rank); missing > 0; --missing) {
    const std::vector<Link*> watched = Watched();
    absl::StatusOr<Guest> guest = door.Next(watched, until_us_, check);
    if (!guest.ok()) return WhyNobody(guest.status(), LinkKind::kBeats);
    LinksOf(links_, guest->hello.kind)[static_cast<size_t>(guest->hello.rank)] = std::move(guest->link);
  }
  return absl::OkStatus();
}

std::vector<Link*> Meeting::Watched() {
  std::vector<Link*> watched;
  for (Link& link : links_.star) {
    if (link.open()) watched.push_back(&link);
  }
  return watched;
}

absl::Status Meeting::Hear(Link& link, int64_t until_us) {
  const auto said = ReadMessage(link, kMostAnswerBytes, {.until_us = until_us});
  if (said.ok() && *said == std::string(1, kWelcome)) return absl::OkStatus();
  if (said.ok() && !said->empty() && said->front() == kRefusal) {
    return absl::UnavailableError(said->substr(1));
  }
  link.Close();
  return absl::UnavailableError(absl::StrCat(link.peer(), " ended while the group gathered"));
}

absl::Status Meeting::WhyEnded(const std::string& peer) {
  for (Link* link : Watched()) {
    if (link->peer() != peer) continue;
    // Perhaps it had all its links before it ended.
    for (int i = 0; i < 2; ++i) QUIRE_RETURN_IF_ERROR(Hear(*link, MonotonicUs() + kTellLimitUs));
  }
  return absl::UnavailableError(absl::StrCat(peer, " ended while the group gathered"));
}

absl::Status Meeting::WhyNobody(const absl::Status& said, LinkKind kind) {
  if (absl::IsUnavailable(said)) return WhyEnded(MessageOf(said));
  if (absl::IsDeadlineExceeded(said)) return NotAllCame(kind);
  return absl::Status(said.code(), absl::StrCat("rank ", options_.rank, " ", MessageOf(said)));
}

absl::Status Meeting::NotAllCame(LinkKind kind) const {
  std::string late;
  const std::vector<Link>& links = kind == LinkKind::kMeeting ? links_.star : links_.beats;
  for (int r = options_.rank + 1; r < options_.size; ++r) {
    if (links[static_cast<size_t>(r)].open()) continue;
    absl::StrAppend(&late, late.empty() ? "" : "; ", "rank ", r, " did not arrive, it is not joined yet");
  }
  return absl::UnavailableError(absl::StrCat(late.empty() ? "not all links came" : late, " (in ",
                                             options_.timeout_ms / 1000, " s at ", options_.rendezvous, ")"));
}

}  // namespace

absl::StatusOr<MeetingLinks> Meet(const MeetingOptions& options) {
  QUIRE_RETURN_IF_ERROR(CheckPlace(options.rank, options.size));
  QUIRE_ASSIGN_OR_RETURN(HostPort place, ParseHostPort(options.rendezvous, kRendezvousPort));
  std::shared_ptr<const TlsContext> tls;
  if (!options.tls.empty()) {
    QUIRE_ASSIGN_OR_RETURN(tls, TlsContext::Load(options.tls));
  }
  Meeting meeting(options, std::move(place), std::move(tls));
  QUIRE_RETURN_IF_ERROR(options.rank == 0 ? meeting.Host() : meeting.Visit());
  return meeting.TakeLinks();
}

}  // namespace quire::worker
