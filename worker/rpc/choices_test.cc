// Several choices, top logprobs and grammars over a real wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/rpc/testing/scripted_group.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void ExpectAllChoices(const ScriptedGroup& group, const v1::GenerateRequest& request, const Reply& reply) {
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_TRUE(reply.in_order);
  EXPECT_EQ(std::ssize(reply.choices), request.choices_size());
  for (const v1::Choice& choice : request.choices()) {
    EXPECT_EQ(reply.ids(choice.index()), group.Expected(request, choice.index())) << choice.index();
    EXPECT_EQ(reply.finished(choice.index()), v1::FINISH_LENGTH);
  }
}

TEST(GenerateChoices, EachGetsItsAnswer) {
  ScriptedGroup group({.kv_blocks = 400});
  const v1::GenerateRequest request = WithChoices(TestRequest(40, 30), 16);
  ExpectAllChoices(group, request, group.Generate(request));
  EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 40 + 16 * 29);
  group.AuditIdle();
}

TEST(GenerateChoices, DoneAndResumedOnesAreTold) {
  ScriptedGroup group;
  v1::GenerateRequest request = WithChoices(TestRequest(20, 12), 4);
  const Reply whole = group.Generate(request);
  for (int i = 0; i < 12; ++i) request.mutable_choices(1)->add_resumed_ids(whole.ids(1)[i]);
  for (int i = 0; i < 5; ++i) request.mutable_choices(2)->add_resumed_ids(whole.ids(2)[i]);
  request.mutable_choices(3)->set_done(true);
  const Reply reply = group.Generate(request);
  EXPECT_TRUE(reply.status.ok() && reply.in_order);
  EXPECT_EQ(reply.ids(0), whole.ids(0));
  EXPECT_TRUE(reply.ids(1).empty() && reply.ids(3).empty());
  EXPECT_EQ(reply.finished(1), v1::FINISH_LENGTH);
  EXPECT_EQ(reply.choice(2).first_position, 5u);
  EXPECT_EQ(reply.ids(2), std::vector<TokenId>(whole.ids(2).begin() + 5, whole.ids(2).end()));
  EXPECT_TRUE(reply.choice(3).finished);
  EXPECT_EQ(reply.finished(3), v1::FINISH_UNSPECIFIED);
}

TEST(GenerateChoices, AllDoneEndsAtOnce) {
  ScriptedGroup group;
  v1::GenerateRequest request = WithChoices(TestRequest(20, 12), 2);
  for (v1::Choice& choice : *request.mutable_choices()) choice.set_done(true);
  const Reply reply = group.Generate(request);
  EXPECT_TRUE(reply.status.ok() && reply.in_order);
  EXPECT_EQ(reply.accepted.numerics_id(), "scripted-1");
  EXPECT_TRUE(reply.choice(0).finished && reply.choice(1).finished);
  EXPECT_EQ(group.Metric("quire_worker_steps_total"), 0);
}

TEST(GenerateChoices, MoreThanTheGroupHoldsIsWrongAndNotBusy) {
  ScriptedGroup group({.max_sequences = 4, .waiting_room = 2});
  const Reply never = group.Generate(WithChoices(TestRequest(20, 12), 7));
  EXPECT_EQ(never.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(never.status.error_message(), HasSubstr("7 choices and this group holds 6"));
  const v1::GenerateRequest most = WithChoices(TestRequest(20, 12), 6);
  ExpectAllChoices(group, most, group.Generate(most));
}

TEST(GenerateChoices, CreditIsSharedByThem) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  const v1::GenerateRequest request = WithChoices(TestRequest(20, 100), 2);
  session->Submit(1, request, /*credit=*/0);
  ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(1).accepted.numerics_id().empty(); }));
  EXPECT_TRUE(group.server().Drain(absl::Seconds(60)));  // all is made, and waits for credit
  session->Grant(1, 60);
  const Reply& reply = session->reply(1);
  ASSERT_TRUE(session->ReadUntil([&] { return reply.ids(0).size() + reply.ids(1).size() == 60; }));
  EXPECT_EQ(reply.ids(0).size(), 30u);
  session->Grant(1, TestSession::kPlenty);
  ExpectAllChoices(group, request, session->ReadToEnd(1));
}

TEST(GenerateChoices, AnAbortEndsAll) {
  ScriptedGroup group({.kv_blocks = 20'000});
  const auto session = group.OpenSession();
  session->Submit(1, WithChoices(TestRequest(20, 90'000), 3));
  for (const uint32_t choice : {0u, 1u, 2u}) {
    ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(1).ids(choice).empty(); }));
  }
  session->Abort(1);
  group.AuditIdle();
  EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 1);
  session->Submit(2, TestRequest(20, 12));
  EXPECT_EQ(session->ReadToEnd(2).ids(), group.Expected(TestRequest(20, 12)));
  EXPECT_FALSE(session->reply(1).ended);
}

// One of three is aborted, and later another: each ends then, alone, and the last one is as if it had been by
// itself.
TEST(GenerateChoices, OneThatIsAbortedEndsAlone) {
  ScriptedGroup group({.kv_blocks = 2000});
  const auto session = group.OpenSession();
  const v1::GenerateRequest request = WithChoices(TestRequest(20, 8000), 3);
  session->Submit(1, request, /*credit=*/300);
  const Reply& reply = session->reply(1);
  for (const uint32_t choice : {0u, 1u, 2u}) {
    ASSERT_TRUE(session->ReadUntil([&] { return !reply.ids(choice).empty(); }));
  }
  for (const uint32_t choice : {1u, 0u}) {
    session->AbortChoice(1, choice);
    session->AbortChoice(1, choice);  // again, of one that isn't there, of a request that isn't
    session->AbortChoice(1, 77);
    session->AbortChoice(9, 0);
    ASSERT_TRUE(session->ReadUntil([&] { return reply.choice(choice).finished; }));
    EXPECT_EQ(reply.finished(choice), v1::FINISH_UNSPECIFIED);
    EXPECT_LT(reply.ids(choice).size(), 8000u);
  }
  EXPECT_FALSE(reply.ended);
  session->Grant(1, TestSession::kPlenty);
  EXPECT_TRUE(session->ReadToEnd(1).status.ok());
  EXPECT_EQ(reply.ids(2), group.Expected(request, 2));
  EXPECT_EQ(reply.finished(2), v1::FINISH_LENGTH);
  EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 2);
  group.AuditIdle();
}

TEST(GenerateChoices, WhereAllAreAbortedTheRequestEnds) {
  ScriptedGroup group({.kv_blocks = 20'000});
  const auto session = group.OpenSession();
  session->Submit(1, WithChoices(TestRequest(20, 90'000), 2));
  for (const uint32_t choice : {0u, 1u}) {
    ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(1).ids(choice).empty(); }));
    session->AbortChoice(1, choice);
  }
  EXPECT_TRUE(session->ReadToEnd(1).status.ok());
  group.AuditIdle();
}

TEST(GenerateChoices, TopLogprobsComeWithTheirTokens) {
  ScriptedGroup group;
  v1::GenerateRequest request = WithChoices(TestRequest(20, 12), 2);
  request.mutable_sampling()->set_top_logprobs(3);
  const Reply reply = group.Generate(request);
  for (const uint32_t index : {0u, 1u}) {
    const SpokenChoice& choice = reply.choice(index);
    EXPECT_EQ(choice.logprobs.size(), 12u);  // implied
    ASSERT_EQ(choice.top_logprobs.size(), 12u);
    for (size_t i = 0; i < 12; ++i) {
      const TokenId id = choice.ids[i];
      EXPECT_THAT(choice.top_logprobs[i].ids(), ElementsAre(id, id + 1, id + 2));
      EXPECT_THAT(choice.top_logprobs[i].logprobs(), ElementsAre(-1, -2, -3));
    }
  }
}

v1::GenerateRequest WithGrammarSource(const std::string& source) {
  v1::GenerateRequest request = WithChoices(TestRequest(20, 12), 2);
  request.mutable_grammar()->set_kind("scripted");
  request.mutable_grammar()->set_source(source);
  return request;
}

TEST(GenerateGrammar, ChoicesKeepToIt) {
  ScriptedGroup group({.grammars = true});
  const Reply reply = group.Generate(WithGrammarSource("5;6,7;8,9;10"));
  EXPECT_TRUE(reply.status.ok() && reply.in_order) << reply.status.error_message();
  for (const uint32_t choice : {0u, 1u}) {
    EXPECT_THAT(reply.ids(choice), ElementsAre(5, testing::AnyOf(6, 7), testing::AnyOf(8, 9), 10));
    EXPECT_EQ(reply.finished(choice), v1::FINISH_STOP);
  }
  EXPECT_EQ(group.Generate(WithGrammarSource("5;x")).status.error_code(), grpc::INVALID_ARGUMENT);
  const Reply dead = group.Generate(WithGrammarSource("5;;6"));
  EXPECT_EQ(dead.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(dead.status.error_message(), HasSubstr("lets nothing come"));
  EXPECT_THAT(dead.ids(), ElementsAre(5));
}

// What is compiled holds up no other request of the session, and what is said of it meanwhile counts.
TEST(GenerateGrammar, WhoWaitsForItHoldsUpNobody) {
  Notification compiled;
  ScriptedGroup group({.grammars = true, .compile_from = &compiled});
  const auto session = group.OpenSession();
  session->Submit(1, WithGrammarSource("5;6"), /*credit=*/1);
  session->Submit(2, WithGrammarSource("7;8"));
  EXPECT_TRUE(session->Grant(1, TestSession::kPlenty));
  session->Abort(2);
  session->Submit(3, TestRequest(20, 12));
  EXPECT_EQ(session->ReadToEnd(3).ids().size(), 12u);
  EXPECT_TRUE(session->reply(1).choices.empty());
  compiled.Notify();
  EXPECT_THAT(session->ReadToEnd(1).ids(1), ElementsAre(5, 6));
  session->Submit(4, WithGrammarSource("7;8"));
  EXPECT_THAT(session->ReadToEnd(4).ids(), ElementsAre(7, 8));
  EXPECT_FALSE(session->reply(2).ended) << "nothing more is said of an aborted one";
  session->CloseSending();
  EXPECT_TRUE(session->End().ok());
}

// A gateway that has closed its side gets the rest of what it asked for, credit or not.
TEST(GenerateGrammar, ASessionEndsBehindWhatIsCompiled) {
  Notification compiled;
  ScriptedGroup group({.grammars = true, .compile_from = &compiled});
  const auto session = group.OpenSession();
  session->Submit(1, WithGrammarSource("5;6"), /*credit=*/0);
  session->Submit(2, TestRequest(20, 2));
  session->ReadToEnd(2);
  session->CloseSending();
  compiled.Notify();
  EXPECT_THAT(session->ReadToEnd(1).ids(), ElementsAre(5, 6));
  EXPECT_TRUE(session->End().ok());
}

TEST(GenerateGrammar, WhoLeavesMeanwhileIsForgotten) {
  Notification compiled;
  ScriptedGroup group({.grammars = true, .compile_from = &compiled});
  {
    const auto session = group.OpenSession();
    session->Submit(1, WithGrammarSource("5;6"));
    session->Submit(2, TestRequest(20, 2));
    session->ReadToEnd(2);
    session->Cancel();
    EXPECT_FALSE(session->End().ok());
  }
  compiled.Notify();
  EXPECT_TRUE(group.Generate(WithGrammarSource("5;6")).status.ok());
}

TEST(GenerateGrammar, IsRefusedWhereTheGroupHasNoEngineForIt) {
  ScriptedGroup group;
  const Reply reply = group.Generate(WithGrammarSource("5"));
  EXPECT_EQ(reply.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(reply.status.error_message(), HasSubstr("this group has no grammar engine"));
}

}  // namespace
}  // namespace quire::worker
