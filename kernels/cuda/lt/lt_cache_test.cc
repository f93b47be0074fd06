// What a start keeps for the next one: read back whole or not at all, whatever stands in the file; kept by
// several processes at once; and where the disk takes nothing, only said.
#include "kernels/cuda/lt/lt_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>

#include "base/core/fd.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/test_log.h"
#include "kernels/cuda/lt/lt_cache_file.h"

namespace quire::kernels::cuda {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const LtCacheKey kKey{"NVIDIA H100 80GB HBM3", "9.0", 13000, 130100};

LtKept Kept(int shapes, int tile = 20) {
  LtKept kept;
  for (int i = 0; i < shapes; ++i) {
    const LtConfig config{66, tile, 1, 0, 1, 2, 35, 0, 3};
    kept[{64 * (i + 1), 7168, 5120, i % 2 == 0 ? 1 : 8, i % 3 == 0, 7168}] = config;
  }
  return kept;
}

std::string WhyNot(std::string_view text) {
  const auto read = ReadLtCache(text, kKey);
  return read.ok() ? "" : std::string(read.status().message());
}

// With the sum that belongs to it: so that what is looked at is the rest.
std::string Summed(const std::string& lines) {
  const std::string text = LtCacheHead(kKey) + lines;
  return text + "sum " + ToHex(Sha256(text)) + "\n";
}

TEST(LtCache, ReadsWhatItWrote) {
  for (const int shapes : {0, 1, 40}) {
    const auto read = ReadLtCache(WriteLtCache(kKey, Kept(shapes)), kKey);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, Kept(shapes));
  }
  EXPECT_EQ(WriteLtCache(kKey, Kept(1)), Summed("64 7168 5120 1 1 7168 66 20 1 0 1 2 35 0 3\n"));
}

TEST(LtCache, WhatIsTornOrChangedIsRefused) {
  const std::string whole = WriteLtCache(kKey, Kept(3));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(WhyNot(std::string_view(whole).substr(0, size)), "") << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] ^= 1;
    EXPECT_NE(WhyNot(changed), "") << at;
  }
  EXPECT_NE(WhyNot(whole + "\n"), "");
  EXPECT_NE(WhyNot(whole + whole), "");
}

TEST(LtCache, WhatIsOfAnotherMachineIsRefused) {
  LtCacheKey others[] = {kKey, kKey, kKey, kKey};
  others[0].device = "NVIDIA H200";
  others[1].capability = "10.0";
  others[2].driver = 13010;
  others[3].library = 130200;
  for (const LtCacheKey& other : others) {
    EXPECT_THAT(WhyNot(WriteLtCache(other, Kept(3))), HasSubstr("another format, GPU or library"));
  }
  LtCacheKey ugly = kKey;
  ugly.device = "two\nlines\x01 \xc3\xa4";
  EXPECT_TRUE(ReadLtCache(WriteLtCache(ugly, Kept(3)), ugly).ok());
}

TEST(LtCache, EveryFieldIsLookedAt) {
  EXPECT_EQ(WhyNot(Summed("64 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n")), "");
  for (const char* line : {
           "0 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",        // no rows
           "1048577 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",  // too many
           "64 0 8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "64 8 -8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "64 8 8 9 1 8 66 20 1 0 1 2 35 0 3\n",           // leaves
           "64 8 8 1 2 8 66 20 1 0 1 2 35 0 3\n",           // bf16 or not
           "64 8 8 1 1 0 66 20 1 0 1 2 35 0 3\n",           // no stride
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0 2147483648\n",  // more than 31 bits
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0 99999999999999999999999\n",
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0\n",      // a field less
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0 3 4\n",  // one more
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0 3 \n",
           " 64 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "64,8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "064 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "+64 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n",
           "64 8 8 1 1 8 66 20 1 0 1 2 35 0 3",  // no end of line
           "\n",
       }) {
    EXPECT_EQ(WhyNot(Summed(line)), "a line is not one of ours") << line;
  }
  const std::string line = "64 8 8 1 1 8 66 20 1 0 1 2 35 0 3\n";
  EXPECT_EQ(WhyNot(Summed(line + line)), "a shape stands there twice");
  EXPECT_EQ(WhyNot(std::string(kMostLtCacheBytes + 1, 'x')), "it is too large");
  EXPECT_EQ(WhyNot(WriteLtCache(kKey, Kept(kMostLtCacheShapes + 1))), "it has too many shapes");
}

class LtCacheFileTest : public testing::Test {
 protected:
  LtCacheFileTest() {
    std::string folder = testing::TempDir() + "/quire_lt_cache_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~LtCacheFileTest() override { std::filesystem::remove_all(folder_); }
  LtCacheFile File() const { return {folder_ + "/made/matmuls", kKey}; }

  CapturedLog log_;
  std::string folder_;
};

TEST_F(LtCacheFileTest, KeepsAndAdds) {
  EXPECT_THAT(File().Load(), IsEmpty()) << "there is none yet";
  File().Store(Kept(3));
  EXPECT_EQ(File().Load(), Kept(3));
  LtKept others = {{{1, 2, 3, 1, true, 2}, LtConfig{66}}};
  File().Store(others);  // what another rank chose
  File().Store(Kept(2, 7));
  LtKept all = Kept(3);
  for (const auto& [shape, config] : Kept(2, 7)) all[shape] = config;
  all.insert(others.begin(), others.end());
  EXPECT_EQ(File().Load(), all);
  LtCacheKey other = kKey;
  other.library = 1;
  EXPECT_THAT(LtCacheFile(folder_ + "/made/matmuls", other).Load(), IsEmpty()) << "a file of its own";
  EXPECT_EQ(log_.Count("matmul_cache_ignored"), 0);
  EXPECT_EQ(log_.Count("matmul_cache_not_written"), 0);
}

TEST_F(LtCacheFileTest, WhatIsWrongWithItIsSaidAndMended) {
  File().Store(Kept(3));
  const std::string whole = *ReadWholeFile(File().path());
  int said = 0;
  for (const std::string& bad :
       {whole.substr(0, 100), std::string("\0\xff", 2), std::string(2 << 20, 'x'), std::string()}) {
    ASSERT_TRUE(WriteFileAtomically(File().path(), bad, 0600).ok());
    EXPECT_THAT(File().Load(), IsEmpty());
    EXPECT_EQ(log_.Count("matmul_cache_ignored"), ++said);
    File().Store(Kept(3));  // which looks, too
    EXPECT_EQ(log_.Count("matmul_cache_ignored"), ++said);
    EXPECT_EQ(File().Load(), Kept(3));
  }
}

TEST_F(LtCacheFileTest, MoreThanAFileTakesLeavesTheOldOnesOut) {
  File().Store(Kept(kMostLtCacheShapes));
  const LtKept others = {{{1, 2, 3, 1, true, 2}, LtConfig{66}}};
  File().Store(others);
  EXPECT_EQ(File().Load(), others);
}

TEST_F(LtCacheFileTest, ADiskThatTakesNothingIsSaid) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/made", "a file, not a folder", 0600).ok());
  File().Store(Kept(1));
  EXPECT_EQ(log_.Count("matmul_cache_not_written"), 1);
  EXPECT_THAT(log_.Text(), HasSubstr("chosen anew at the next start"));
  EXPECT_THAT(File().Load(), IsEmpty());
  std::filesystem::remove(folder_ + "/made");
  File().Store(Kept(1));
  std::filesystem::remove(File().path());
  std::filesystem::create_directory(File().path());  // can't be replaced
  File().Store(Kept(1));
  EXPECT_EQ(log_.Count("matmul_cache_not_written"), 2);
}

// Each adds its own shape again and again: none is lost, and nobody ever reads a part.
// A process that was stopped while it wrote holds its lock for as long as it is there.
TEST_F(LtCacheFileTest, AStartWaitsForNobody) {
  const std::string lock_path = File().path() + ".lock";
  File().Store(Kept(1));
  const Fd lock(open(lock_path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(lock.valid()) << lock_path;
  ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
  File().Store(Kept(2));
  EXPECT_EQ(log_.Count("matmul_cache_not_written"), 1);
  EXPECT_EQ(File().Load(), Kept(1));
}

TEST_F(LtCacheFileTest, ProcessesThatWriteAtOnceLeaveAWholeFile) {
  constexpr int kProcesses = 4, kTurns = 10;
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    children.push_back(fork());
    ASSERT_GE(children.back(), 0);
    if (children.back() > 0) continue;
    for (int turn = 0; turn < kTurns; ++turn) {
      File().Store({{{child * kTurns + turn + 1, 8, 8, 1, true, 8}, LtConfig{66, child}}});
    }
    _Exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_GE(File().Load().size(), size_t{1}) << "who found it locked has kept nothing; the others are in it";
  EXPECT_EQ(log_.Count("matmul_cache_ignored"), 0);
}

TEST_F(LtCacheFileTest, TheLogSaysHowFarAndHowLong) {
  const LtChoicesOptions options = LoggedChoices(folder_ + "/m", kKey);
  for (int done = 0; done <= 40; ++done) options.progress(done, 40);
  EXPECT_EQ(log_.Count("loading"), 10);
  EXPECT_THAT(log_.Text(), HasSubstr("\"what\":\"choosing matmuls: 12 of 40\""));
  EXPECT_THAT(log_.Text(), HasSubstr("\"event\":\"matmuls_chosen\",\"timed\":40,\"ms\":"));
  options.progress(0, 0);
  EXPECT_EQ(log_.Count("matmuls_chosen"), 2);
  options.chose({.shape = {64, 8, 8, 1, true, 8}, .candidates = 1, .algorithm = "id66"});
  EXPECT_EQ(log_.Count("no_library_product"), 0);
  options.chose({.shape = {64, 8, 8, 1, true, 8}});
  EXPECT_EQ(log_.Count("no_library_product"), 1);
  options.store(Kept(1));
  EXPECT_EQ(options.load(), Kept(1));
  EXPECT_FALSE(LoggedChoices("", kKey).store) << "no folder: nothing is kept";
}

}  // namespace
}  // namespace quire::kernels::cuda
