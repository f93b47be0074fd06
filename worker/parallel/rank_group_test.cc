// A group's own life: joining, agreeing, losing, leaving, and its memory.
#include "worker/parallel/shm_group.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

TEST(RankGroup, ADeadRankLosesTheGroup) {
  const std::string name = UniqueName();
  Notification joined;
  Notification lost;
  std::thread peer([&] {
    auto group = JoinShmGroup(GroupOf(name, 1, 2));
    ASSERT_TRUE(group.ok());
    joined.WaitForNotification();
    // Destroyed without Leave: it gives up its place, as a killed process does.
  });
  ShmGroupOptions options = GroupOf(name, 0, 2);
  auto group = JoinShmGroup(options, {[&] { lost.Notify(); }});
  ASSERT_TRUE(group.ok()) << group.status();
  joined.Notify();
  peer.join();
  lost.WaitForNotification();
  EXPECT_FALSE(group->liveness->Healthy());
  const auto gathered = group->rendezvous->AllGather("");
  EXPECT_TRUE(absl::IsUnavailable(gathered.status()));
  EXPECT_THAT(MessageOf(gathered.status()), HasSubstr("rank 1 is dead"));
}

TEST(RankGroup, EveryRankHearsThatOneAskedToDrain) {
  const std::string name = UniqueName();
  Notification asked[2];
  std::latch both_joined(2), both_asked(2);
  RunRanks(2, [&](int rank) {
    const auto on_drain_asked = [&asked, rank] {
      if (!asked[rank].HasBeenNotified()) asked[rank].Notify();
    };
    auto group = JoinShmGroup(GroupOf(name, rank, 2), {nullptr, on_drain_asked});
    ASSERT_TRUE(group.ok()) << group.status();
    both_joined.arrive_and_wait();
    if (rank == 1) group->liveness->AskToDrain();
    asked[rank].WaitForNotification();
    EXPECT_TRUE(group->liveness->Healthy());  // asking ends nothing by itself
    both_asked.arrive_and_wait();
    group->liveness->Leave();
  });
}

bool InDevShm(const std::string& name) { return access(absl::StrCat("/dev/shm/", name).c_str(), F_OK) == 0; }

// A rank whose group is lost before it is complete ends in on_lost, on the beat thread.
TEST(RankGroup, NothingIsLeftInDevShmWhenTheOthersDoNotCome) {
  for (int rank : {0, 1}) {
    ShmGroupOptions options = GroupOf(UniqueName(), rank, 2);
    options.join_timeout_ms = 1;
    bool was_there = true;
    EXPECT_FALSE(JoinShmGroup(options, {[&] { was_there = InDevShm(options.shm->text()); }}).ok());
    EXPECT_FALSE(was_there);
    EXPECT_FALSE(InDevShm(options.shm->text()));
  }
}

// Rank 0 is killed as soon as all are here: whoever goes on has nothing to leave behind.
TEST(RankGroup, WhicheverRankSeesAllHereTakesTheNameAway) {
  const std::string name = UniqueName();
  auto first = GroupMemory::Open(std::make_shared<GroupName>(name));
  ASSERT_TRUE(first.ok() && (*first)->HoldPlace(0).ok());
  RankSlot& slot = (*first)->control().slots[0];
  slot.beats = 1;
  slot.joined.Advance();
  std::thread second([&] { EXPECT_FALSE(JoinShmGroup(GroupOf(name, 1, 2)).ok()); });
  EXPECT_TRUE((*first)->control().slots[1].gathered.WaitFor(1, 0));  // it saw all here, and goes on
  EXPECT_FALSE(InDevShm(name));
  first->reset();  // as a killed process does
  second.join();
}

TEST(GroupMemory, APlaceIsHeldUntilItsHolderIsGone) {
  const auto name = std::make_shared<GroupName>(UniqueName());
  const auto mine = GroupMemory::Open(name);
  auto other = GroupMemory::Open(name);
  name->Remove();
  ASSERT_TRUE(mine.ok() && other.ok());
  EXPECT_FALSE((*mine)->PlaceHeld(1));
  ASSERT_TRUE((*other)->HoldPlace(1).ok());
  EXPECT_TRUE((*mine)->PlaceHeld(1));
  EXPECT_FALSE((*mine)->PlaceHeld(0));
  EXPECT_TRUE(absl::IsAlreadyExists((*mine)->HoldPlace(1)));
  other->reset();
  EXPECT_FALSE((*mine)->PlaceHeld(1));
}

TEST(GroupMemory, RefusesAFileThatIsOpenToOthers) {
  const auto name = std::make_shared<GroupName>(UniqueName());
  const int fd = shm_open(absl::StrCat("/", name->text()).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(fchmod(fd, 0666), 0);
  close(fd);
  EXPECT_TRUE(absl::IsPermissionDenied(GroupMemory::Open(name).status()));
  name->Remove();
}

// A rank is told to end just before it makes the memory: its process goes a moment later, and the name must
// not come back meanwhile.
TEST(GroupMemory, IsNotMadeAnyMoreWhenItsNameWasGivenUp) {
  const auto name = std::make_shared<GroupName>(UniqueName());
  ASSERT_TRUE(GroupMemory::Open(name).ok());
  ASSERT_TRUE(InDevShm(name->text()));
  name->GiveUp();
  EXPECT_FALSE(InDevShm(name->text()));
  EXPECT_TRUE(absl::IsCancelled(GroupMemory::Open(name).status()));
  EXPECT_FALSE(InDevShm(name->text()));
}

TEST(RankGroup, NamesTheRankThatDoesNotCome) {
  ShmGroupOptions options = GroupOf(UniqueName(), 0, 3);
  options.join_timeout_ms = 1;
  const auto alone = JoinShmGroup(options);
  EXPECT_TRUE(absl::IsUnavailable(alone.status()));
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("rank 1 did not arrive, it is not joined yet"));
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("rank 2 did not arrive"));
}

TEST(RankGroup, NamesTheRankThatDoesNotAgreeInTime) {
  std::string reasons[2];
  Notification told;
  RunShm(2, [&](RankGroup& group) {
    if (group.rank() == 1) {
      group.liveness->Enter(Phase::kLoading);
      told.WaitForNotification();  // hangs, but beats
      reasons[1] = MessageOf(group.rendezvous->AllGather("").status());
      return;
    }
    reasons[0] = MessageOf(group.rendezvous->AllGather("", /*limit_us=*/1).status());
    told.Notify();
  });
  for (const std::string& reason : reasons)
    EXPECT_THAT(reason, HasSubstr("rank 1 did not arrive, it is loading"));
}

TEST(RankGroup, GathersRecordsOfAnyBytes) {
  RunShm(3, [](RankGroup& group) {
    for (int round = 0; round < 50; ++round) {
      const std::string mine(static_cast<size_t>(round * (group.rank() + 1)) % 100, static_cast<char>(round));
      const auto records = group.rendezvous->AllGather(mine);
      ASSERT_TRUE(records.ok()) << records.status();
      for (int r = 0; r < 3; ++r) {
        EXPECT_EQ((*records)[r],
                  std::string(static_cast<size_t>(round * (r + 1)) % 100, static_cast<char>(round)));
      }
    }
    EXPECT_TRUE(group.rendezvous->AllGather(std::string(kMaxRecordBytes, 'x')).ok());
    EXPECT_TRUE(
        absl::IsInvalidArgument(group.rendezvous->AllGather(std::string(kMaxRecordBytes + 1, 'x')).status()));
  });
}

// Joins as rank 0 and rank 1 with these options; what each was told.
std::vector<std::string> JoinBoth(const ShmGroupOptions& first, const ShmGroupOptions& second) {
  std::vector<std::string> told(2);
  RunRanks(2, [&](int rank) { told[rank] = MessageOf(JoinShmGroup(rank == 0 ? first : second).status()); });
  EXPECT_FALSE(InDevShm(first.shm->text()));
  return told;
}

TEST(RankGroup, RefusesRanksWithDifferentBuffersAndSaysWhose) {
  for (auto [change, name] :
       {std::pair<int64_t BufferSizes::*, std::string>{&BufferSizes::exchange_bytes, "exchange"},
        {&BufferSizes::plan_bytes, "plan"}}) {
    const std::string shm = UniqueName();
    ShmGroupOptions second = GroupOf(shm, 1, 2);
    second.buffers.*change += 4096;
    for (const std::string& told : JoinBoth(GroupOf(shm, 0, 2), second)) {
      EXPECT_THAT(told, HasSubstr(absl::StrCat("rank 1 has ", name, " bytes")));
      EXPECT_THAT(told, HasSubstr(absl::StrCat(second.buffers.*change)));
    }
  }
}

TEST(RankGroup, RefusesRanksOfGroupsOfDifferentSize) {
  const std::string shm = UniqueName();
  const std::vector<std::string> told = JoinBoth(GroupOf(shm, 0, 2), GroupOf(shm, 1, 3));
  EXPECT_THAT(told[0] + told[1], HasSubstr("was started with --ranks"));
  EXPECT_FALSE(told[0].empty() || told[1].empty());
}

TEST(RankGroup, ASecondRankOfTheSameNumberIsRefusedAndDoesNoHarm) {
  const std::string name = UniqueName();
  Notification refused;
  std::atomic<int> good{0};
  RunRanks(3, [&](int thread) {
    if (thread == 2) refused.WaitForNotification();
    const auto group = JoinShmGroup(GroupOf(name, thread == 2 ? 1 : 0, 2));
    if (group.ok()) {
      ++good;
      group->liveness->Leave();
      return;
    }
    EXPECT_THAT(MessageOf(group.status()), HasSubstr("there is a rank 0"));
    refused.Notify();
  });
  EXPECT_EQ(good, 2);
}

TEST(RankGroup, RefusesRanksThatCanNotBe) {
  EXPECT_TRUE(absl::IsInvalidArgument(JoinShmGroup(GroupOf("x", 2, 2)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(JoinShmGroup(GroupOf("x", 0, kMaxRanks + 1)).status()));
}

TEST(RankGroup, TheFirstReasonIsTheOneThatAllTell) {
  RunShm(2, [](RankGroup& group) {
    if (group.rank() == 1) group.liveness->Lose("the disk of rank 1 is on fire");
    EXPECT_THAT(MessageOf(group.rendezvous->AllGather("").status()), HasSubstr("on fire"));
    group.liveness->Lose("another reason");
    EXPECT_THAT(MessageOf(group.liveness->LostError()), HasSubstr("on fire"));
    EXPECT_FALSE(group.liveness->Healthy());
  });
}

TEST(RankGroup, AHealthyGroupSaysSoUntilSomebodyLeaves) {
  RunShm(2, [](RankGroup& group) {
    EXPECT_TRUE(group.liveness->Healthy());
    ASSERT_TRUE(group.rendezvous->AllGather("").ok());  // nobody leaves before both have looked
    if (group.rank() == 1) group.liveness->Leave();
    ASSERT_TRUE(group.rendezvous->AllGather("").ok());
    EXPECT_FALSE(group.liveness->Healthy());
    EXPECT_FALSE(group.liveness->lost());
  });
}

TEST(Agreement, NamesTheFirstValueThatDiffers) {
  const RankRecord first{{"max sequences", "64"}, {"weights", "ab=c"}};
  for (size_t i = 0; i < first.size(); ++i) {
    RankRecord other = first;
    other[i].second = std::string(1, '7');
    const std::string records[] = {EncodeRecord(first), EncodeRecord(first), EncodeRecord(other)};
    EXPECT_THAT(MessageOf(CheckEqual(records)),
                HasSubstr(absl::StrCat("rank 2 has ", first[i].first, " 7, rank 0 has ", first[i].first, " ",
                                       first[i].second)));
  }
  const std::string same[] = {EncodeRecord(first), EncodeRecord(first)};
  EXPECT_TRUE(CheckEqual(same).ok());
  const std::string shorter[] = {EncodeRecord(first), EncodeRecord({first[0]})};
  EXPECT_FALSE(CheckEqual(shorter).ok());
}

// In a child with a /dev/shm of its own, of `bytes`: the message of a Join, or "skip".
std::string JoinWithShmOf(int64_t bytes, const ShmGroupOptions& options) {
  int channel[2];
  EXPECT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string said = "skip";
    const std::string size = absl::StrCat("size=", bytes);
    if ((unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount("tmpfs", "/dev/shm", "tmpfs", 0, size.c_str()) == 0) {
      said = JoinShmGroup(options).status().ToString();
    }
    const ssize_t written = write(channel[1], said.data(), said.size());
    _exit(written < 0);
  }
  close(channel[1]);
  std::string said(4096, '\0');
  const ssize_t length = read(channel[0], said.data(), said.size());
  said.resize(length > 0 ? static_cast<size_t>(length) : 0);
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  return said;
}

TEST(GroupMemory, AFullDevShmIsRefusedWithWhatToDo) {
  ShmGroupOptions options = GroupOf(UniqueName(), 0, 1);
  options.buffers = {8 << 20, 1 << 20};
  const std::string fits = JoinWithShmOf(64 << 20, options);
  if (fits == "skip") GTEST_SKIP() << "no mount namespaces here: a full /dev/shm can't be tried";
  EXPECT_EQ(fits, "OK");
  for (int64_t bytes : {int64_t{4096}, int64_t{64 << 10}, int64_t{4 << 20}}) {
    const std::string full = JoinWithShmOf(bytes, options);
    EXPECT_THAT(full, HasSubstr("RESOURCE_EXHAUSTED"));
    EXPECT_THAT(full, HasSubstr("--shm-size"));
    EXPECT_THAT(full, HasSubstr("are free"));
  }
}

}  // namespace
}  // namespace quire::worker
