// What only a group over TCP has: who is let in, what crosses in the clear, and links that end.
#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/parallel/shared_word.h"
#include "worker/parallel/tcp/beat.h"
#include "worker/parallel/tcp/tcp_communicator.h"
#include "worker/parallel/tcp/tcp_liveness.h"
#include "worker/parallel/tcp/transfer.h"
#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

TEST(TcpGroup, NothingCrossesToOtherHostsInTheClearUnlessTold) {
  TcpGroupOptions options = TestPlace(GroupForm::kTcp).Tcp({});
  options.meeting.rendezvous = "0.0.0.0:1";
  const absl::Status refused = JoinTcpGroup(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(MessageOf(refused), HasSubstr("--insecure"));
}

TEST(TcpGroup, WithoutTlsThereMustBeASecret) {
  TcpGroupOptions options = TestPlace(GroupForm::kTcp).Tcp({});
  options.meeting.secret = "";
  const absl::Status refused = JoinTcpGroup(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(MessageOf(refused), HasSubstr("--worker-secret-file"));
}

TEST(TcpGroup, AnAddressOfAnotherHostIsNoPlaceForRank0) {
  TcpGroupOptions options = TestPlace(GroupForm::kTcp).Tcp({});
  options.meeting.rendezvous = "192.0.2.1:29500";  // of nobody (RFC 5737)
  options.meeting.insecure = true;
  const absl::Status refused = JoinTcpGroup(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(MessageOf(refused), HasSubstr("is no address of this host"));
}

// One whom rank 0 refuses is told why, and the group meets all the same.
void ExpectRefused(GroupForm form, const std::function<void(MeetingOptions&)>& change,
                   const std::string& why) {
  const TestPlace place(form);
  Notification refused;
  RunRanks(3, [&](int thread) {
    if (thread == 0) {
      auto group = place.Join({});
      EXPECT_TRUE(group.ok()) << group.status();
      if (group.ok()) group->liveness->Leave();
      return;
    }
    TcpGroupOptions options = place.Tcp({.rank = 1});
    if (thread == 1) {
      change(options.meeting);
      const absl::Status status = JoinTcpGroup(options).status();
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(MessageOf(status), HasSubstr(why));
      refused.Notify();
      return;
    }
    refused.WaitForNotification();
    auto group = JoinTcpGroup(options);
    EXPECT_TRUE(group.ok()) << group.status();
    if (group.ok()) group->liveness->Leave();
  });
}

TEST(TcpGroup, WhoDoesNotKnowTheSecretIsNotLetIn) {
  ExpectRefused(
      GroupForm::kTcp, [](MeetingOptions& options) { options.secret = "another"; },
      "does not know the group's secret");
}

TEST(TcpGroup, WithTlsOnlyWorkersOfTheAuthorityAreLetIn) {
  ExpectRefused(
      GroupForm::kTls, [](MeetingOptions& options) { options.tls = TestCertificates::Get().stranger; }, "");
  ExpectRefused(
      GroupForm::kTls, [](MeetingOptions& options) { options.tls = TestCertificates::Get().gateway; },
      "rank_refused");
  ExpectRefused(
      GroupForm::kTls, [](MeetingOptions& options) { options.tls = {}; }, "");
}

TEST(TcpGroup, AWorkerTalksToNobodyWhoseCertificateIsNoWorkers) {
  const TestPlace place(GroupForm::kTls);
  RunRanks(2, [&](int rank) {
    TcpGroupOptions options = place.Tcp({.rank = rank, .join_timeout_ms = rank == 0 ? 3000 : 120'000});
    if (rank == 0) options.meeting.tls = TestCertificates::Get().gateway;
    const absl::Status refused = JoinTcpGroup(options).status();
    EXPECT_FALSE(refused.ok());
    if (rank == 0) return;
    EXPECT_THAT(MessageOf(refused), HasSubstr("is not for the role quire-worker"));
  });
}

TEST(TcpGroup, SaysWhichTlsFileIsMissing) {
  TcpGroupOptions options = TestPlace(GroupForm::kTls).Tcp({});
  options.meeting.tls.key += ".absent";
  EXPECT_THAT(MessageOf(JoinTcpGroup(options).status()), HasSubstr("--tls-key"));
  options.meeting.tls.key = "";
  EXPECT_THAT(MessageOf(JoinTcpGroup(options).status()), HasSubstr("--tls-key"));
}

// A probe or a port scanner: connects and says nothing, or something else, or goes.
TEST(TcpGroup, StrangersAtTheDoorKeepNobodyWaiting) {
  const TestPlace place(GroupForm::kTcp);
  const HostPort where = ParseHostPort(place.rendezvous(), 0).value();
  RunRanks(2, [&](int rank) {
    std::vector<Fd> strangers;
    if (rank == 1) {
      for (int i = 0; i < 3; ++i) strangers.push_back(Dial(where, MonotonicUs() + 60'000'000).value());
      EXPECT_EQ(send(strangers[0].get(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
      strangers[1].Close();
    }
    auto group = place.Join({.rank = rank});
    EXPECT_TRUE(group.ok()) << group.status();
    if (group.ok()) group->liveness->Leave();
  });
}

// The length of a hello and two letters of it, and the same of a TLS record: then they wait.
TEST(TcpGroup, StrangersThatSayHalfOfItKeepNobodyWaiting) {
  for (const GroupForm form : {GroupForm::kTcp, GroupForm::kTls}) {
    const TestPlace place(form);
    const HostPort where = ParseHostPort(place.rendezvous(), 0).value();
    const std::string half =
        form == GroupForm::kTcp ? std::string("\x64\0\0\0qu", 6) : std::string("\x16\x03\x01\0\x64\x01\0", 7);
    RunRanks(2, [&](int rank) {
      std::vector<Fd> strangers;
      for (int i = 0; rank == 1 && i < 8; ++i) {
        strangers.push_back(Dial(where, MonotonicUs() + 60'000'000).value());
        EXPECT_EQ(send(strangers.back().get(), half.data(), half.size(), MSG_NOSIGNAL), std::ssize(half));
      }
      auto group = place.Join({.rank = rank});
      EXPECT_TRUE(group.ok()) << group.status();
      if (group.ok()) group->liveness->Leave();
    });
  }
}

// A rank of this test's own making: a link to rank 0, on which it says who it is.
Link DialAs(const TestPlace& place, const Hello& hello) {
  Link link(Dial(ParseHostPort(place.rendezvous(), 0).value(), MonotonicUs() + 60'000'000).value(), "rank 0");
  EXPECT_TRUE(SendMessage(link, EncodeHello(hello), {}).ok());
  return link;
}

std::string Heard(Link& link) { return ReadMessage(link, 4096, {}).value_or(""); }

TEST(TcpGroup, ARankThatEndsWhileTheGroupGathersEndsIt) {
  const TestPlace place(GroupForm::kTcp);
  RunRanks(2, [&](int thread) {
    if (thread == 0) {
      EXPECT_THAT(MessageOf(place.Join({.size = 4}).status()), HasSubstr("rank 2"));
    } else {
      DialAs(place, {LinkKind::kMeeting, 2, 4, 1, "of this test"});
    }
  });
}

// As behind a firewall: rank 1 says a port at which nobody listens.
TEST(TcpGroup, ARankThatCanNotBeReachedIsNamedToAll) {
  const TestPlace place(GroupForm::kTcp);
  const std::string why = "rank 2 can't reach rank 1";
  RunRanks(3, [&](int rank) {
    if (rank == 1) {
      Link link = DialAs(place, {LinkKind::kMeeting, 1, 3, 1, "of this test"});
      EXPECT_THAT(Heard(link), HasSubstr("127.0.0.1:1"));
      EXPECT_THAT(Heard(link), HasSubstr(why));
      return;
    }
    TcpGroupOptions options = place.Tcp({.rank = rank, .size = 3});
    options.meeting.reach_ms = 500;
    EXPECT_THAT(MessageOf(JoinTcpGroup(options).status()), HasSubstr(why));
  });
}

// Nobody goes on, and judges others, before all can.
TEST(TcpGroup, TheMeetingEndsWhenEachRankHasSaidThatItHasItsLinks) {
  const TestPlace place(GroupForm::kTcp);
  RunRanks(2, [&](int rank) {
    if (rank == 0) {
      EXPECT_EQ(MessageOf(place.Join({}).status()), "no room here");
      return;
    }
    Link star = DialAs(place, {LinkKind::kMeeting, 1, 2, 1, "of this test"});
    const std::string answer = Heard(star), word = answer.substr(1, answer.find('\n') - 1);
    const Link beats = DialAs(place, {LinkKind::kBeats, 1, 2, 0, word});
    const Link exchange = DialAs(place, {LinkKind::kExchange, 1, 2, 0, word});
    const Link plans = DialAs(place, {LinkKind::kPlans, 1, 2, 0, word});
    EXPECT_TRUE(SendMessage(star, kRefusal + std::string("no room here"), {}).ok());
    EXPECT_EQ(Heard(star), "-no room here");
  });
}

// A length beyond any beat's, an empty message, and one that is none.
TEST(TcpLiveness, WhoSaysWhatIsNoBeatEndsTheGroup) {
  for (const std::string& said : {std::string(4, '\xff'), std::string(4, '\0'), Framed("1 2 3")}) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    const Fd peer(ends[1]);
    MeetingLinks links;
    links.beats.resize(2);
    links.beats[1] = Link(Fd(ends[0]), "rank 1");
    Notification lost;
    TcpLiveness liveness(0, 60'000, std::move(links), {[&] { lost.Notify(); }});
    ASSERT_TRUE(liveness.Begin().ok());
    EXPECT_EQ(write(peer.get(), said.data(), said.size()), std::ssize(said));
    lost.WaitForNotification();
    EXPECT_THAT(MessageOf(liveness.LostError()), HasSubstr("rank 1"));
  }
}

// From here on this process may open nothing more.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const Fd lowest(eventfd(0, EFD_CLOEXEC));
    const rlimit none{static_cast<rlim_t>(lowest.get()), before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreDescriptors() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_{};
};

// And not after the time in which the group has to gather, which a loop that can't go on would spend.
TEST(TcpGroup, ARankThatMayOpenNoMoreSaysSoAtOnceAndWhatToDo) {
  const int64_t until_us = MonotonicUs() + 60'000'000;
  Fd listener = ListenAt(Resolve({"127.0.0.1", 0}).value()[0]).value();
  const HostPort where{"127.0.0.1", LocalAddress(listener.get()).port()};
  Door door(std::move(listener), nullptr);
  const Fd dialler = Dial(where, until_us).value();
  MeetingLinks links;
  const NoMoreDescriptors none;
  const absl::Status told[] = {
      door.Next({}, until_us, [](const Hello&) { return absl::OkStatus(); }).status(),
      Dial(where, until_us).status(), TcpLiveness(0, 60'000, std::move(links), {}).Begin()};
  for (const absl::Status& status : told) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(MessageOf(status), HasSubstr("raise the limit on open files"));
  }
}

TEST(TcpCommunicator, KeepsRoomForOthersPartsOfOneExchangeAndForWhatItPacks) {
  EXPECT_EQ(TcpCommunicator::BytesFor(1, 4 << 20), 0);
  EXPECT_EQ(TcpCommunicator::BytesFor(2, 4 << 20), (4 << 20) + (64 << 10));
  EXPECT_EQ(TcpCommunicator::BytesFor(8, 4 << 20), 7 * (4 << 20) / 8 + (64 << 10));
  EXPECT_EQ(TcpCommunicator::BytesFor(8, 100 << 10), 8 * (64 << 10));  // of few bytes whole parts come
}

TEST(ParseHostPort, TakesWhatIsAPlace) {
  for (auto [text, host, port] : {std::tuple{"h:1", "h", 1},
                                  {"[::1]:2", "::1", 2},
                                  {"::1", "::1", 9},
                                  {"h", "h", 9},
                                  {"[fe80::1]", "fe80::1", 9},
                                  {"10.0.0.1:65535", "10.0.0.1", 65535}}) {
    const auto place = ParseHostPort(text, 9);
    ASSERT_TRUE(place.ok()) << text;
    EXPECT_EQ(place->host, host);
    EXPECT_EQ(place->port, port);
  }
  for (const char* text : {"", ":1", "h:", "h:0", "h:65536", "h:x", "[::1", "[]:1", "[[a]:5"}) {
    EXPECT_THAT(MessageOf(ParseHostPort(text, 9).status()), HasSubstr("give HOST:PORT")) << text;
  }
}

TEST(BeatText, ComesBackAsItWas) {
  const Beat beat{7, true, false, true, true, 12, 3456, "computing; before: idle", "two\nlines"};
  const auto back = DecodeBeat(EncodeBeat(beat));
  ASSERT_TRUE(back);
  EXPECT_EQ(EncodeBeat(*back), EncodeBeat(beat));
  EXPECT_EQ(back->reason, beat.reason);
  EXPECT_LE(EncodeBeat({.doing = std::string(1 << 20, 'x'), .reason = std::string(1 << 20, 'y')}).size(),
            kMostBeatBytes);
  for (const char* text :
       {"", "\n\n", "1 2 3\n\n", "a 0 0 0 0 1 1\n\n", "1 0 0 0 7 1 1\n\n", "1 0 0 0 0 1 1\n"}) {
    EXPECT_FALSE(DecodeBeat(text)) << text;
  }
}

}  // namespace
}  // namespace quire::worker
