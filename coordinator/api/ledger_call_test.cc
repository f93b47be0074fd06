#include "coordinator/api/ledger_call.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

TEST(CallLedger, WaitsAsLongAsTheDiskTakes) {
  MemoryStore store;
  TestLedger test{&store};
  ASSERT_TRUE(test.Start().ok());
  SystemClock clock;
  LedgerThread thread(&test.ledger, &clock, {});
  Notification disk_is_back;
  ASSERT_TRUE(thread.Post([&](Ledger&) { disk_is_back.WaitForNotification(); }));
  auto asked = std::async(std::launch::async, [&] {
    return CallLedger<LedgerFacts>(
        thread, [](Ledger& ledger, Reply<LedgerFacts> reply) { ledger.GetFacts(std::move(reply)); });
  });
  // What is tested, not waited for: longer than those wait who are served.
  EXPECT_EQ(asked.wait_for(std::chrono::seconds(11)), std::future_status::timeout);
  disk_is_back.Notify();
  EXPECT_TRUE(asked.get().ok());
}

}  // namespace
}  // namespace quire::coordinator
