// What only a group in shared memory has: the memory, its name and its places. The rest: group_test.cc.
#include "worker/parallel/shm_group.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

bool InDevShm(const std::string& name) { return access(absl::StrCat("/dev/shm/", name).c_str(), F_OK) == 0; }

// A rank whose group is lost before it is complete ends in on_lost, on the beat thread.
TEST(ShmGroup, NothingIsLeftInDevShmWhenTheOthersDoNotCome) {
  for (int rank : {0, 1}) {
    ShmGroupOptions options = ShmOptions(UniqueName(), {.rank = rank, .join_timeout_ms = 1});
    bool was_there = true;
    EXPECT_FALSE(JoinShmGroup(options, {[&] { was_there = InDevShm(options.shm->text()); }}).ok());
    EXPECT_FALSE(was_there);
    EXPECT_FALSE(InDevShm(options.shm->text()));
  }
}

// Rank 0 is killed as soon as all are here: whoever goes on has nothing to leave behind.
TEST(ShmGroup, WhicheverRankSeesAllHereTakesTheNameAway) {
  const std::string name = UniqueName();
  auto first = GroupMemory::Open(std::make_shared<GroupName>(name));
  ASSERT_TRUE(first.ok() && (*first)->HoldPlace(0).ok());
  RankSlot& slot = (*first)->control().slots[0];
  slot.beats = 1;
  slot.joined.Advance();
  std::thread second([&] { EXPECT_FALSE(JoinShmGroup(ShmOptions(name, {.rank = 1})).ok()); });
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
  ShmGroupOptions options = ShmOptions(UniqueName(), {.size = 1});
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
