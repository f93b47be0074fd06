// Token ids and the text bundle that they are of: what a change of a model's text files means for who waits.
#include "coordinator/routing/router_test_fixture.h"

namespace quire::coordinator {
namespace {

class RouterTextTest : public RouterTest {
 protected:
  static v1::GroupInfo WithText(const std::string& id, uint64_t epoch, char text, uint64_t kv_blocks = 10) {
    v1::GroupInfo info = Info(id, epoch, kv_blocks);
    info.set_bundle_digest(std::string(32, text));
    return info;
  }
  static RouteRequest Encoded(uint8_t n, char text, bool running = false) {
    RouteRequest request = Request(n);
    request.bundle_digest = std::string(32, text);
    request.running = running;
    return request;
  }
};

TEST_F(RouterTextTest, TokenIdsReachNoGroupWithAnotherTextBundle) {
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x')).ok());
  ASSERT_TRUE(PlaceNow(Encoded(1, 'x')).placement.has_value());
  router_.Confirm(Id(1), 16, 16);
  ASSERT_TRUE(router_.Register(WithText("a", 2, 'y')).ok());
  for (const bool running : {false, true}) {  // who comes late, and who was cut
    Answer answer;                            // at once: nobody will ever have it
    router_.Place(Encoded(running ? 1 : 2, 'x', running), answer.Sink());
    EXPECT_FALSE(answer.Wait().placement.has_value());
    EXPECT_EQ(answer.Wait().refusal.reason(), v1::REFUSAL_OUTDATED);
    EXPECT_EQ(answer.Wait().refusal.retry_after_s(), 1u);
    EXPECT_NE(answer.Wait().refusal.message().find("send the request again"), std::string::npos);
  }
  EXPECT_TRUE(PlaceNow(Encoded(3, 'y')).placement.has_value());
  EXPECT_TRUE(PlaceNow(Request(4)).placement.has_value()) << "one that does not say";
}

TEST_F(RouterTextTest, AnEpochKeepsItsText) {
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x')).ok());
  EXPECT_EQ(router_.Register(WithText("a", 1, 'y')).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(router_.Register(WithText("a", 1, 'x')).ok());
}

TEST_F(RouterTextTest, WhoWaitsWhenTheTextChangesIsToldToAskAgain) {
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x', 2)).ok());
  ASSERT_TRUE(PlaceNow(Encoded(1, 'x')).placement.has_value());
  Answer waits;
  router_.Place(Encoded(2, 'x'), waits.Sink());
  EXPECT_FALSE(waits.Has());
  ASSERT_TRUE(router_.Register(WithText("a", 2, 'y', 2)).ok());
  EXPECT_EQ(waits.Wait().refusal.reason(), v1::REFUSAL_OUTDATED);
}

TEST_F(RouterTextTest, WhoseTextIsGoneWaitsBehindNobody) {
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x', 2)).ok());
  ASSERT_TRUE(PlaceNow(Encoded(1, 'x')).placement.has_value());
  router_.Confirm(Id(1), 16, 16);
  ASSERT_TRUE(router_.Register(WithText("a", 2, 'y', 2)).ok());
  ASSERT_TRUE(PlaceNow(Encoded(2, 'y')).placement.has_value());
  router_.Confirm(Id(3), 16, 16);
  Answer waits[2], late, cut;
  router_.Place(Encoded(3, 'y', true), waits[0].Sink());
  router_.Place(Encoded(4, 'y'), waits[1].Sink());
  EXPECT_EQ(Waiting(), 2u);
  router_.Place(Encoded(5, 'x'), late.Sink());
  router_.Place(Encoded(1, 'x', true), cut.Sink());
  EXPECT_TRUE(late.Has() && cut.Has());
  EXPECT_EQ(Waiting(), 2u);
  router_.Close();  // answers them while they are there
}

// A place becomes free every five seconds, also after four were told that their text is gone.
TEST_F(RouterTextTest, RefusingWhoWaitsIsNoSignOfRoom) {
  Answer second;
  std::vector<Answer> waiting(8);
  const auto fill = [&](uint8_t n, char text) {
    for (uint8_t i = n; i < n + 4; ++i) router_.Place(Encoded(10 + i, text), waiting[i].Sink());
    return PlaceNow(Encoded(3, text)).refusal.retry_after_s();
  };
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x', 2)).ok());
  ASSERT_TRUE(PlaceNow(Encoded(1, 'x')).placement.has_value());
  router_.Place(Encoded(2, 'x'), second.Sink());
  clock_.AdvanceUs(5'000'000);
  ASSERT_TRUE(router_.Register(WithText("a", 1, 'x', 2)).ok());  // heard of again
  router_.Release(Id(1), std::nullopt);
  ASSERT_TRUE(second.Wait().placement.has_value());
  EXPECT_EQ(fill(0, 'x'), 20u);
  ASSERT_TRUE(router_.Register(WithText("a", 2, 'y', 2)).ok());
  EXPECT_EQ(waiting[3].Wait().refusal.reason(), v1::REFUSAL_OUTDATED);
  ASSERT_TRUE(PlaceNow(Encoded(4, 'y')).placement.has_value());
  EXPECT_EQ(fill(4, 'y'), 20u);
  router_.Close();  // answers them while they are there
}

}  // namespace
}  // namespace quire::coordinator
