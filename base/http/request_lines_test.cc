#include "base/http/request_lines.h"

#include <gtest/gtest.h>

#include <vector>

namespace quire::http {
namespace {

RequestRecord RecordOf(int status, const std::string& key_id, uint64_t completion_tokens) {
  RequestRecord record;
  record.status = status;
  record.key_id = key_id;
  if (!key_id.empty()) record.model = "m";
  record.completion_tokens = completion_tokens;
  return record;
}

TEST(RequestLinesTest, OnlySoManyLinesOfRequestsThatNothingCameOf) {
  ManualClock clock;
  std::vector<std::string> written;
  RequestLines lines(clock, Fruit::kTokens,
                     [&](const RequestRecord& record) { written.push_back(record.key_id); },
                     {.burst = 2, .every_us = 1'000'000});
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(401, "", 0));
  for (int i = 0; i < 5; ++i) lines.Write(RecordOf(kStatusClientGone, "washer", 0));
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

// No key, and no error: a preflight, an OPTIONS.
TEST(RequestLinesTest, StrangersHaveOneBudgetWhateverTheyAreAnswered) {
  ManualClock clock;
  int written = 0;
  RequestLines lines(clock, Fruit::kTokens, [&](const RequestRecord&) { ++written; });
  for (int i = 0; i < 10'000; ++i) lines.Write(RecordOf(i % 2 == 0 ? 204 : 401, "", 0));
  EXPECT_EQ(written, RequestLines::kFruitless.burst);
}

// The list of models names none.
TEST(RequestLinesTest, WhatCostsAKeyNothingIsBoundedToo) {
  ManualClock clock;
  int written = 0;
  RequestLines lines(clock, Fruit::kTokens, [&](const RequestRecord&) { ++written; });
  RequestRecord list = RecordOf(200, "key", 0);
  list.model.clear();
  for (int i = 0; i < 10'000; ++i) lines.Write(list);
  EXPECT_EQ(written, RequestLines::kFruitless.burst);
}

// An operator's plane sells nothing.
TEST(RequestLinesTest, WhereAnswersAreTheFruitAKeysAreAllThere) {
  ManualClock clock;
  std::vector<int> written;
  RequestLines lines(clock, Fruit::kAnswer,
                     [&](const RequestRecord& record) { written.push_back(record.status); },
                     {.burst = 1, .every_us = 1'000'000});
  for (const int status : {200, 204, 404, 409, 201}) lines.Write(RecordOf(status, "admin", 0));
  for (const int status : {204, 401, 404}) lines.Write(RecordOf(status, "", 0));
  EXPECT_EQ(written, (std::vector<int>{200, 204, 404, 201, 204}));
}

}  // namespace
}  // namespace quire::http
