#include "gateway/api/intake.h"

#include <gtest/gtest.h>

#include <vector>

namespace quire::gateway {
namespace {

using Visit = std::shared_ptr<Intake::Visit>;

constexpr IntakeLimits kLimits{.requests_per_key = 2, .bytes = 1000};

class IntakeTest : public testing::Test {
 protected:
  // A key as "a1" is the account a's.
  ApiResult<Visit> EnterWith(const std::string& key, size_t bytes) {
    ApiResult<Visit> entered = intake_.Enter(key, key.substr(0, 1));
    if (const Visit* visit = std::get_if<Visit>(&entered)) {
      if (auto error = (*visit)->Resize(bytes)) return *std::move(error);
    }
    return entered;
  }
  Visit MustEnter(const std::string& key, size_t bytes) {
    auto entered = EnterWith(key, bytes);
    if (auto* error = std::get_if<http::ApiError>(&entered)) {
      ADD_FAILURE() << error->message;
      return nullptr;
    }
    return std::get<Visit>(std::move(entered));
  }
  int Refused(const std::string& key, size_t bytes) {
    auto entered = EnterWith(key, bytes);
    const auto* error = std::get_if<http::ApiError>(&entered);
    if (error == nullptr) return 200;
    EXPECT_GT(error->retry_after_s, 0);
    return error->status;
  }

  Intake intake_{kLimits};
};

TEST_F(IntakeTest, AKeyHasSoManyRequestsAndNoMore) {
  Visit first = MustEnter("a", 1), second = MustEnter("a", 1);
  EXPECT_EQ(Refused("a", 1), 429);
  MustEnter("b", 1);
  first.reset();
  first = MustEnter("a", 1);
}

TEST_F(IntakeTest, AnAccountHoldsAPartOfTheBytesAndAllTogetherTheWhole) {
  Visit a = MustEnter("a1", 200);
  EXPECT_EQ(Refused("a1", 51), 429);
  EXPECT_EQ(Refused("a2", 51), 429) << "another key of the account";
  MustEnter("a2", 50);
  Visit b = MustEnter("b", 700);  // one request is never too large for the part
  EXPECT_EQ(Refused("b", 1), 429);
  EXPECT_EQ(Refused("c", 101), 503);
  Visit c = MustEnter("c", 100);
  EXPECT_EQ(intake_.bytes(), 1000u);
  b.reset();
  EXPECT_EQ(intake_.bytes(), 300u);
  MustEnter("d", 700);
}

TEST_F(IntakeTest, ABodyMayProveLargerOrSmaller) {
  Visit a = MustEnter("a", 100), b = MustEnter("b", 800);
  EXPECT_EQ(a->Resize(201)->status, 503);
  EXPECT_EQ(intake_.bytes(), 900u) << "nothing changed";
  EXPECT_FALSE(b->Resize(10));
  EXPECT_FALSE(a->Resize(201));
  EXPECT_EQ(intake_.bytes(), 211u);
  a.reset();
  b.reset();
  EXPECT_EQ(intake_.bytes(), 0u);
}

}  // namespace
}  // namespace quire::gateway
