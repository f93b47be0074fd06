#include "base/process/size_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/core/files.h"
#include "base/process/test_folder.h"

namespace quire {
namespace {

TEST(SizeGuard, EmptiesWhatPassesTheLimitAndNothingElse) {
  std::string folder = testing::TempDir() + "/quire_guard_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string before(200, 'b');
  std::ofstream(folder + "/old.err") << before;
  std::ofstream(folder + "/other.log") << before;
  SizeGuard guard(folder, ".err", 100);
  ASSERT_TRUE(guard.Start().ok());
  EXPECT_THAT(*ReadWholeFile(folder + "/old.err"), testing::StartsWith("(emptied"));
  EXPECT_EQ(*ReadWholeFile(folder + "/other.log"), before);

  std::ofstream writer(folder + "/new.err", std::ios::app);
  for (int i = 0; i < 50; ++i) {
    writer << "crash text, again and again\n" << std::flush;
    pollfd ready{guard.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 60'000), 1);
    guard.Check();
    EXPECT_LE(std::filesystem::file_size(folder + "/new.err"), 100u);
  }
  EXPECT_THAT(*ReadWholeFile(folder + "/new.err"), testing::HasSubstr("crash text"));
  std::filesystem::remove_all(folder);
}

TEST(SizeGuard, LooksAtAllFilesWhereNotAllIsTold) {
  const TestFolder folder;
  SizeGuard guard(folder.path(), ".err", 100);
  ASSERT_TRUE(guard.Start().ok());
  folder.FillQueue();
  folder.Append("late.err", std::string(200, 'x'));
  guard.Check();
  EXPECT_LE(std::filesystem::file_size(folder.File("late.err")), 100u);
}

}  // namespace
}  // namespace quire
