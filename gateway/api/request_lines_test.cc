#include "gateway/api/request_lines.h"

#include <gtest/gtest.h>

#include <vector>

namespace quire::gateway {
namespace {

http::RequestRecord RecordOf(int status, const std::string& key_id, uint64_t completion_tokens) {
  http::RequestRecord record;
  record.status = status;
  record.key_id = key_id;
  if (!key_id.empty()) record.model = "m";
  record.completion_tokens = completion_tokens;
  return record;
}

TEST(RequestLinesTest, OnlySoManyLinesOfRequestsThatNothingCameOf) {
  ManualClock clock;
  std::vector<std::string> written;
  RequestLines lines(clock, [&](const http::RequestRecord& record) { written.push_back(record.key_id); },
                     {.burst = 2, .every_us = 1'000'000});
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(401, "", 0));
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(http::kStatusClientGone, "washer", 0));
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(200, "washer", 0));  // left before its first token
  EXPECT_EQ(written, (std::vector<std::string>{"", "", "washer", "washer"}));
  written.clear();
  lines.Write(RecordOf(401, "other", 0));                               // a key of its own has its own
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(200, "washer", 3));  // what was paid for is all there
  EXPECT_EQ(written.size(), 6u);
  clock.AdvanceUs(1'000'000);
  lines.Write(RecordOf(404, "", 0));
  lines.Write(RecordOf(404, "", 0));
  EXPECT_EQ(written.size(), 7u);
}

// Whoever asks for what costs nothing may ask for ever: strangers by OPTIONS, keys by the list of models.
TEST(RequestLinesTest, AnAnswerThatCostsNothingIsNoFruit) {
  ManualClock clock;
  int written = 0;
  RequestLines lines(clock, [&](const http::RequestRecord&) { ++written; });
  http::RequestRecord preflight;
  preflight.method = "OPTIONS";
  preflight.status = 204;
  for (int i = 0; i < 10'000; ++i) lines.Write(preflight);
  EXPECT_LE(written, 500);
  written = 0;
  http::RequestRecord models;
  models.method = "GET";
  models.status = 200;
  models.key_id = "reader";
  for (int i = 0; i < 10'000; ++i) lines.Write(models);
  EXPECT_LE(written, 500);
}

}  // namespace
}  // namespace quire::gateway
