// One connection of several between two hosts is cut, as by a firewall, or a router that lost its state,
// while the others are well: the group ends with it. And what only looks like that: a process that reads
// nothing.
#include <gmock/gmock.h>
#include <linux/filter.h>

#include "base/core/status.h"
#include "worker/parallel/plan_channel.h"
#include "worker/parallel/shared_word.h"
#include "worker/parallel/tcp/tcp_liveness.h"
#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

// Drops all that comes on it, before this end's kernel takes it.
void DropWhatComes(const Link& link) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &nothing};
  ASSERT_EQ(setsockopt(link.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

struct Cut {
  const char* name;
  std::span<Link> (TcpLiveness::*links)();
  // What is under way on them, at each rank.
  absl::Status (*use)(RankGroup& group);
};

absl::Status Sum(RankGroup& group) {
  auto communicator = group.rendezvous->HostCommunicator();
  QUIRE_RETURN_IF_ERROR(communicator.status());
  std::vector<float> values(1000);
  return (*communicator)->AllReduceSum({values.data(), kernels::DType::kF32, 10, 90, 100});
}

absl::Status SendPlan(RankGroup& group) {
  PlanChannel plans(group);
  return group.rank() == 0 ? plans.Send({}, {}) : plans.Receive().status();
}

absl::Status Gather(RankGroup& group) { return group.rendezvous->AllGather("of this rank").status(); }

class CutTest : public ::testing::TestWithParam<Cut> {};

TEST_P(CutTest, OfOneConnectionEndsTheGroup) {
  std::latch dropped(2);
  RunGroup(GroupForm::kTcp, 2, [&](RankGroup& group) {
    auto& liveness = dynamic_cast<TcpLiveness&>(*group.liveness);
    if (group.rank() == 1) DropWhatComes((liveness.*GetParam().links)()[0]);
    dropped.arrive_and_wait();
    liveness.BeginTimed(1, 100'000'000);  // what else would end it, with other words
    absl::Status told;
    // Who has all that it waits for hears of it the next time.
    while (told.ok()) told = GetParam().use(group);
    EXPECT_TRUE(absl::IsUnavailable(told)) << told;
    EXPECT_THAT(MessageOf(told), HasSubstr("can't be reached: its host has taken nothing of the"));
    EXPECT_THAT(MessageOf(told), HasSubstr(GetParam().name));
  });
}

INSTANTIATE_TEST_SUITE_P(Of, CutTest,
                         ::testing::Values(Cut{"tensors", &TcpLiveness::exchange, Sum},
                                           Cut{"plans", &TcpLiveness::plans, SendPlan},
                                           Cut{"records", &TcpLiveness::star, Gather}),
                         [](const auto& info) { return info.param.name; });

std::pair<Link, Link> Connect() {
  const Fd listener = ListenAt(Resolve({"127.0.0.1", 0}).value()[0]).value();
  Link dialled(Dial({"127.0.0.1", LocalAddress(listener.get()).port()}, MonotonicUs() + 60'000'000).value(),
               "b");
  Fd accepted;
  while (!accepted.valid()) accepted = AcceptFrom(listener.get()).value();
  return {std::move(dialled), Link(std::move(accepted), "a")};
}

// Until no more goes. How much did.
uint64_t Fill(Link& link) {
  const std::vector<uint8_t> bytes(1 << 16);
  uint64_t written = 0;
  for (size_t count = 1; count > 0; written += count) count = link.Write(std::span(bytes)).value();
  return written;
}

void Drain(Link& link) {
  std::vector<uint8_t> bytes(1 << 16);
  while (link.Read(std::span(bytes)).value() > 0) {
  }
}

TEST(Link, WaitsForAHostButNotForAProcessThatReadsNothing) {
  auto [a, b] = Connect();
  EXPECT_FALSE(a.acks().waiting);
  uint64_t written = Fill(a);
  while (a.acks().waiting) written += Fill(a);  // b's host takes what it has room for
  EXPECT_LT(a.acks().acked_bytes, written);
  DropWhatComes(b);
  Drain(b);  // now it has room again, and says so
  while (!a.acks().waiting) std::this_thread::yield();
}

}  // namespace
}  // namespace quire::worker
