#include "worker/engine/mailbox.h"

#include <gtest/gtest.h>

namespace quire::worker {
namespace {

std::shared_ptr<const SharedRequest> WithChoices(int64_t open, int64_t done) {
  GenerationRequest request;
  request.prompt_ids = {1};
  request.choices.clear();
  for (int64_t i = 0; i < open + done; ++i)
    request.choices.push_back({.index = static_cast<uint32_t>(i), .done = i >= open});
  return Share(std::move(request));
}

absl::StatusCode Code(Mailbox& mailbox, int64_t open, int64_t done = 0) {
  return mailbox.Submit(WithChoices(open, done), {}).status().code();
}

TEST(Mailbox, CountsChoicesThatAreNotDone) {
  Mailbox mailbox(5);
  const auto first = mailbox.Submit(WithChoices(3, 20), {});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Code(mailbox, 3), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Code(mailbox, 6), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(mailbox, 2), absl::StatusCode::kOk);
  EXPECT_EQ(Code(mailbox, 1), absl::StatusCode::kResourceExhausted);
  mailbox.ChoiceEnded(*first);
  EXPECT_EQ(Code(mailbox, 2), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Code(mailbox, 1), absl::StatusCode::kOk);
  mailbox.Ended(*first);  // with its last two
  EXPECT_EQ(Code(mailbox, 2), absl::StatusCode::kOk);
  EXPECT_EQ(Code(mailbox, 1), absl::StatusCode::kResourceExhausted);
}

TEST(Mailbox, ARequestWithNothingToDoHasAPlaceToo) {
  Mailbox mailbox(2);
  const auto first = mailbox.Submit(WithChoices(0, 3), {});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Code(mailbox, 0, 1), absl::StatusCode::kOk);
  EXPECT_EQ(Code(mailbox, 0, 1), absl::StatusCode::kResourceExhausted);
  mailbox.Ended(*first);
  EXPECT_EQ(Code(mailbox, 1), absl::StatusCode::kOk);
  EXPECT_EQ(Code(mailbox, 1), absl::StatusCode::kResourceExhausted);
}

TEST(Mailbox, IsEmptyWhenEachRequestHasEndedNotWhenItsPlacesAreFree) {
  Mailbox mailbox(5);
  const auto ticket = mailbox.Submit(WithChoices(1, 0), {});
  mailbox.ChoiceEnded(*ticket);
  EXPECT_FALSE(mailbox.AwaitEmpty(absl::ZeroDuration()));
  mailbox.Ended(*ticket);
  EXPECT_TRUE(mailbox.AwaitEmpty(absl::ZeroDuration()));
}

TEST(Mailbox, ARefusalComesBeforeWhatIsWrongWithTheRequest) {
  Mailbox mailbox(5);
  mailbox.Refuse(absl::AbortedError("draining"));
  EXPECT_EQ(Code(mailbox, 6), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace quire::worker
