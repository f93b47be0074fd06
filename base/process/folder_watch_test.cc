#include "base/process/folder_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#include "base/process/test_folder.h"

namespace quire {
namespace {

TEST(FolderWatch, WhereNoInstanceIsLeftTheLimitsAreNamed) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  FolderWatch watch;
  const absl::Status started = watch.Start("/", IN_CREATE);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(started.message(),
            "can't watch /: no inotify instance is left: raise fs.inotify.max_user_instances, or the limit "
            "on open files");
  EXPECT_EQ(watch.fd(), -1);
}

TEST(FolderWatch, OfNoFolderThereIsNothingToPoll) {
  FolderWatch watch;
  EXPECT_TRUE(absl::IsUnavailable(watch.Start("/proc/no-such-folder", IN_CREATE)));
  EXPECT_EQ(watch.fd(), -1);
}

TEST(FolderWatch, SaysWhenItIsNotAll) {
  const TestFolder folder;
  FolderWatch watch;
  ASSERT_TRUE(watch.Start(folder.path(), IN_MODIFY).ok());
  int events = 0;
  const auto count = [&](uint32_t, const std::string&) { ++events; };
  folder.Append("a", "x");
  EXPECT_TRUE(watch.Take(count));
  EXPECT_EQ(events, 1);
  folder.FillQueue();
  EXPECT_FALSE(watch.Take(count));
  folder.Append("a", "x");
  EXPECT_TRUE(watch.Take(count)) << "there is room again";
}

}  // namespace
}  // namespace quire
