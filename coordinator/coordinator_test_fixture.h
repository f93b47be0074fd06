// For tests only: a coordinator in this process on a data folder of its own, with a gateway and an operator
// who talk to it. Its clock stands still until the test moves it: no group falls silent, nobody's wait ends
// by itself. One thread.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/api_key.h"
#include "base/core/clock.h"
#include "base/core/files.h"
#include "coordinator/coordinator.h"
#include "coordinator/coordinator_test_support.h"

namespace quire::coordinator {

inline std::string KeyPath(const std::string& id) { return absl::StrCat("/admin/v1/keys/", id); }

class CoordinatorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "/quire_coordinator_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    config_.data = folder_ + "/data";
    config_.admin_port = 0;
    config_.ready_file = folder_ + "/ready";
    config_.worker.groups = 0;
    config_.clock = &clock_;
    config_.admin_patience = std::chrono::minutes(5);
    Begin();
  }
  void TearDown() override {
    coordinator_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Begin() {
    auto started = Coordinator::Start(config_);
    ASSERT_TRUE(started.ok()) << started.status();
    coordinator_ = *std::move(started);
    const auto keys = nlohmann::json::parse(*ReadWholeFile(config_.data + "/keys.json"));
    admin_key_ = keys["admin_key"];
    key_ = keys["api_key"];
    key_id_ = ParseApiKey(key_)->id;
    gateway_ =
        std::make_unique<TestGateway>(coordinator_->grpc_address(), *ReadWholeFile(config_.data + "/pepper"));
    operator_ = std::make_unique<TestOperator>(coordinator_->admin_address(), admin_key_);
  }
  // As if killed, then started on the same data.
  void Restart() {
    coordinator_.reset();
    Begin();
  }
  std::unique_ptr<TestGroup> Group(const std::string& id, uint64_t epoch, uint64_t kv_blocks = 100) {
    auto group = NewGroup(id, epoch, kv_blocks);
    EXPECT_TRUE(group->Register().ok());
    return group;
  }
  // One that knows the secret, and has not registered yet.
  std::unique_ptr<TestGroup> NewGroup(const std::string& id, uint64_t epoch, uint64_t kv_blocks = 100) {
    auto group = std::make_unique<TestGroup>(coordinator_->grpc_address(), id, epoch, kv_blocks);
    group->secret = *ReadWholeFile(config_.data + "/worker_secret");
    return group;
  }
  // Until so many wait for a group; fails when the caller has ended instead.
  template <typename T>
  void AwaitQueued(int waiting, const std::future<T>& caller) {
    while (Get("/admin/v1/groups")["waiting_requests"] != waiting) {
      ASSERT_NE(caller.wait_for(std::chrono::seconds(0)), std::future_status::ready) << "it did not wait";
    }
  }
  nlohmann::json Get(const std::string& path) { return operator_->Call("GET", path).body; }

  ManualClock clock_;
  std::string folder_, admin_key_, key_, key_id_;
  CoordinatorConfig config_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<TestGateway> gateway_;
  std::unique_ptr<TestOperator> operator_;
};

}  // namespace quire::coordinator
