// A disk that answers no write: what a registering group has to wait for holds up nobody else.
#include <gtest/gtest.h>

#include <thread>

#include "base/core/mutex.h"
#include "coordinator/coordinator_test_fixture.h"

namespace quire::coordinator {
namespace {

// Writes to one file wait while it is held.
class SlowDisk {
 public:
  FileWriter Writer() {
    return [this](const std::string& path, std::string_view content, mode_t mode) {
      WaitFor(path);
      return WriteFileAtomically(path, content, mode);
    };
  }
  void Hold(const std::string& path) {
    MutexLock lock(&mutex_);
    held_ = path;
    waiting_ = false;
  }
  void Free() { Hold(""); }
  void AwaitWrite() {
    MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&waiting_));
  }

 private:
  void WaitFor(const std::string& path) {
    MutexLock lock(&mutex_);
    waiting_ = waiting_ || path == held_;
    const auto free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return path != held_; };
    mutex_.Await(absl::Condition(&free));
  }

  Mutex mutex_;
  std::string held_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
};

class StuckDiskTest : public CoordinatorTest {
 protected:
  void SetUp() override {
    config_.write_file = disk_.Writer();
    CoordinatorTest::SetUp();
  }

  void RegisterWhileHeld(const std::string& file, const std::string& id, const std::string& model) {
    disk_.Hold(config_.data + file);
    auto newcomer = NewGroup(id, 1, 150);
    newcomer->info.set_model(model);
    grpc::Status registered;
    std::thread thread([&] { registered = newcomer->Register(); });
    disk_.AwaitWrite();
    EverythingElseWorks();
    disk_.Free();
    thread.join();
    EXPECT_TRUE(registered.ok()) << registered.error_message();
  }

  void EverythingElseWorks() {
    for (const char* path : {"/livez", "/readyz", "/metrics"})
      EXPECT_EQ(operator_->Call("GET", path).status, 200) << path;
    const auto made = operator_->Call("POST", "/admin/v1/keys", R"({"name":"n"})");
    EXPECT_EQ(made.status, 201);
    TestWatch watch(*gateway_);
    EXPECT_GE(watch.UntilSynced().size(), 3u);
    const RequestId id = RequestId::Random();
    EXPECT_TRUE(group_->Beat());
    EXPECT_TRUE(gateway_->Admit(id, made.body["id"]).grant.has_value());
    EXPECT_GT(gateway_->Settle(id, 10), 0);
  }

  SlowDisk disk_;
  std::unique_ptr<TestGroup> group_;
};

TEST_F(StuckDiskTest, NobodyElseWaitsForAGroupsFiles) {
  group_ = Group("g0", 1);
  RegisterWhileHeld("/models.json", "g1", "tiny");
  RegisterWhileHeld("/epochs.json", "g2", "tiny");
  RegisterWhileHeld("/models.json", "g3", "without a price");  // the ledger sets one
  group_.reset();
}

// Several at once: more than gRPC has threads to spare.
TEST_F(StuckDiskTest, ManyGroupsThatWaitHoldUpNobody) {
  group_ = Group("g0", 1);
  disk_.Hold(config_.data + "/epochs.json");
  std::vector<std::unique_ptr<TestGroup>> newcomers;
  std::vector<std::thread> threads;
  std::vector<grpc::Status> registered(10);
  for (size_t i = 0; i < registered.size(); ++i) {
    newcomers.push_back(NewGroup(absl::StrCat("more-", i), 1));
    threads.emplace_back([&, i, group = newcomers.back().get()] { registered[i] = group->Register(); });
  }
  disk_.AwaitWrite();
  EverythingElseWorks();
  disk_.Free();
  for (std::thread& thread : threads) thread.join();
  for (const grpc::Status& status : registered) EXPECT_TRUE(status.ok()) << status.error_message();
  group_.reset();
}

}  // namespace
}  // namespace quire::coordinator
