#include "worker/rpc/request_validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace quire::worker {
namespace {

constexpr uint64_t kEpoch = 3;

ServedModel Model() { return {"m", "n", /*vocab=*/100, /*plain_context=*/50, /*max_context=*/50, false}; }

v1::GenerateRequest Valid() {
  v1::GenerateRequest request;
  request.set_request_id(std::string(16, 'r'));
  request.set_group_epoch(kEpoch);
  request.set_max_tokens(10);
  for (int id : {1, 2, 99}) request.add_prompt_ids(id);
  request.add_choices()->set_index(0);
  request.mutable_sampling()->set_top_p(1);
  request.mutable_sampling()->set_repetition_penalty(1);
  request.set_seed(0xffffffffffffffffull);
  request.set_cache_salt("account");
  return request;
}

std::function<void(v1::GenerateRequest&)> AddChoices(uint32_t count) {
  return [count](v1::GenerateRequest& request) {
    for (uint32_t i = 1; i <= count; ++i) request.add_choices()->set_index(i);
  };
}

std::function<void(v1::GenerateRequest&)> ResumeSecond(int tokens, TokenId id) {
  return [=](v1::GenerateRequest& request) {
    AddChoices(1)(request);
    request.mutable_choices(1)->mutable_resumed_ids()->Resize(tokens, id);
  };
}

TEST(RequestValidation, ScoringIsOfTheOwnPrompt) {
  const auto scored = [](uint32_t from, uint32_t top) {
    v1::GenerateRequest request = Valid();
    request.mutable_scoring()->set_from(from);
    request.mutable_scoring()->set_top_logprobs(top);
    return ValidateRequest(request, Model(), kEpoch);
  };
  const auto result = scored(3, 20);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->scoring->from, 3);
  EXPECT_EQ(result->scoring->top_logprobs, 20);
  for (const auto& [from, top] : {std::pair(0u, 0u), {4u, 0u}, {0xffffffffu, 0u}, {1u, 21u}}) {
    EXPECT_EQ(scored(from, top).status().code(), absl::StatusCode::kInvalidArgument) << from << " " << top;
  }
}

TEST(RequestValidation, TakesEveryField) {
  v1::GenerateRequest request = Valid();
  request.set_cache_salt("salt");
  request.mutable_choices(0)->add_resumed_ids(7);
  request.add_choices()->set_index(127);
  request.mutable_choices(1)->set_done(true);
  auto& sampling = *request.mutable_sampling();
  sampling.set_temperature(0.5f);
  sampling.set_min_tokens(2);
  sampling.set_ignore_eos(true);
  sampling.set_top_logprobs(20);
  sampling.add_stop_ids(5);
  sampling.add_logit_bias()->set_token_id(4);
  sampling.mutable_logit_bias(0)->set_bias(-100);
  const auto result = ValidateRequest(request, Model(), kEpoch);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->prompt_ids, (std::vector<TokenId>{1, 2, 99}));
  ASSERT_EQ(result->choices.size(), 2u);
  EXPECT_EQ(result->choices[0].index, 0u);
  EXPECT_EQ(result->choices[0].resumed_ids, (std::vector<TokenId>{7}));
  EXPECT_FALSE(result->choices[0].done);
  EXPECT_EQ(result->choices[1].index, 127u);
  EXPECT_TRUE(result->choices[1].done);
  EXPECT_EQ(result->sampling.top_logprobs, 20);
  EXPECT_TRUE(result->sampling.logprobs);
  EXPECT_EQ(result->stop_ids, (std::vector<TokenId>{5}));
  EXPECT_FALSE(result->scoring.has_value());
  EXPECT_EQ(result->seed, 0xffffffffffffffffull);
  EXPECT_EQ(result->cache_salt, "salt");
  EXPECT_EQ(result->min_tokens, 2);
  EXPECT_TRUE(result->ignore_eos);
  EXPECT_EQ(result->sampling.temperature, 0.5f);
  EXPECT_EQ(result->sampling.logit_bias[0], (std::pair<TokenId, float>(4, -100.0f)));
}

TEST(RequestValidation, TakesAsManyChoicesAsThereAre) {
  v1::GenerateRequest request = Valid();
  AddChoices(127)(request);
  const auto result = ValidateRequest(request, Model(), kEpoch);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->choices.size(), 128u);
}

TEST(RequestValidation, BoundsItsGrammar) {
  v1::GenerateRequest request = Valid();
  request.mutable_grammar()->set_kind("scripted");
  request.mutable_grammar()->set_source("5;99");
  const auto result = ValidateRequest(request, Model(), kEpoch, true);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->grammar, nullptr) << "that is for who asks";
  const auto refused = [&](bool has_grammars) {
    const absl::Status status = ValidateRequest(request, Model(), kEpoch, has_grammars).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refused(false), testing::HasSubstr("no grammar engine"));
  request.mutable_grammar()->set_kind(std::string(65, 'k'));
  EXPECT_THAT(refused(true), testing::HasSubstr("its kind"));
  request.mutable_grammar()->set_kind("scripted");
  request.mutable_grammar()->set_source(std::string((1 << 20) + 1, ';'));
  EXPECT_THAT(refused(true), testing::HasSubstr("its source"));
}

TEST(RequestValidation, TakesItsReasoning) {
  v1::GenerateRequest request = Valid();
  EXPECT_FALSE(ValidateRequest(request, Model(), kEpoch)->reasoning.has_value());
  request.mutable_sampling()->add_stop_ids(5);
  v1::Reasoning& reasoning = *request.mutable_reasoning();
  reasoning.set_start_id(5);  // inside it nothing is opened
  reasoning.set_end_id(99);
  auto result = ValidateRequest(request, Model(), kEpoch);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->reasoning->start, Reasoning::Start::kInside);
  EXPECT_EQ(result->reasoning->end_id, 99);
  EXPECT_FALSE(result->reasoning->max_tokens.has_value());
  reasoning.set_start(v1::REASONING_MAY_OPEN);
  EXPECT_FALSE(ValidateRequest(request, Model(), kEpoch).ok());
  request.mutable_sampling()->set_ignore_eos(true);
  reasoning.set_max_tokens(0);
  result = ValidateRequest(request, Model(), kEpoch);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->reasoning->start, Reasoning::Start::kMayOpen);
  EXPECT_EQ(result->reasoning->start_id, 5);
  EXPECT_EQ(result->reasoning->max_tokens, 0);
}

TEST(RequestValidation, RefusesAReasoningThatItCannotFollow) {
  using Request = v1::GenerateRequest;
  const std::vector<std::pair<const char*, std::function<void(Request&)>>> cases = {
      {"reasoning.end_id = 100", [](Request& r) { r.mutable_reasoning()->set_end_id(100); }},
      {"reasoning.end_id = -1", [](Request& r) { r.mutable_reasoning()->set_end_id(-1); }},
      {"reasoning.start is unknown",
       [](Request& r) { r.mutable_reasoning()->set_start(static_cast<v1::ReasoningStart>(2)); }},
      {"reasoning.start_id = 100",
       [](Request& r) {
         r.mutable_reasoning()->set_start(v1::REASONING_MAY_OPEN);
         r.mutable_reasoning()->set_start_id(100);
         r.mutable_reasoning()->set_end_id(3);
       }},
      {"reasoning.start_id and reasoning.end_id are both 0",
       [](Request& r) { r.mutable_reasoning()->set_start(v1::REASONING_MAY_OPEN); }},
      {"reasoning.end_id = 0 is one of stop_ids",
       [](Request& r) {
         r.mutable_reasoning();
         r.mutable_sampling()->add_stop_ids(0);
       }},
  };
  for (const auto& [message, change] : cases) {
    v1::GenerateRequest request = Valid();
    change(request);
    const absl::Status status = ValidateRequest(request, Model(), kEpoch).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(message));
  }
}

TEST(RequestValidation, AnotherEpochIsFenced) {
  v1::GenerateRequest request = Valid();
  request.set_group_epoch(kEpoch - 1);
  EXPECT_EQ(ValidateRequest(request, Model(), kEpoch).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(RequestValidation, RefusesWhatIsOutOfRangeAndNamesIt) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInf = std::numeric_limits<float>::infinity();
  using Request = v1::GenerateRequest;
  const std::vector<std::pair<const char*, std::function<void(Request&)>>> cases = {
      {"request_id", [](Request& r) { r.set_request_id("short"); }},
      {"prompt_ids", [](Request& r) { r.clear_prompt_ids(); }},
      {"prompt_ids", [](Request& r) { r.add_prompt_ids(100); }},
      {"prompt_ids", [](Request& r) { r.add_prompt_ids(-1); }},
      {"context", [](Request& r) { r.mutable_prompt_ids()->Resize(50, 1); }},
      {"max_tokens", [](Request& r) { r.set_max_tokens(0); }},
      {"choices", [](Request& r) { r.clear_choices(); }},
      {"index 0 twice", [](Request& r) { r.add_choices(); }},
      {"index 128", [](Request& r) { r.add_choices()->set_index(128); }},
      {"not 129", AddChoices(128)},
      {"resumed_ids", [](Request& r) { r.mutable_choices(0)->add_resumed_ids(100); }},
      {"resumed_ids", [](Request& r) { r.mutable_choices(0)->mutable_resumed_ids()->Resize(11, 1); }},
      {"resumed_ids of choice 1", ResumeSecond(11, 1)},
      {"resumed_ids", ResumeSecond(1, 100)},
      {"no grammar engine", [](Request& r) { r.mutable_grammar(); }},
      {"top_logprobs", [](Request& r) { r.mutable_sampling()->set_top_logprobs(21); }},
      {"rope_variant", [](Request& r) { r.set_rope_variant(v1::ROPE_SCALED); }},
      {"rope_variant", [](Request& r) { r.set_rope_variant(static_cast<v1::RopeVariant>(9)); }},
      {"cache_salt", [](Request& r) { r.clear_cache_salt(); }},
      {"cache_salt", [](Request& r) { r.set_cache_salt(std::string(129, 's')); }},
      {"min_tokens", [](Request& r) { r.mutable_sampling()->set_min_tokens(11); }},
      {"temperature", [](Request& r) { r.mutable_sampling()->set_temperature(-1); }},
      {"temperature", [=](Request& r) { r.mutable_sampling()->set_temperature(kNan); }},
      {"temperature", [=](Request& r) { r.mutable_sampling()->set_temperature(kInf); }},
      {"top_p", [](Request& r) { r.mutable_sampling()->set_top_p(0); }},
      {"top_p", [](Request& r) { r.mutable_sampling()->set_top_p(1.1f); }},
      {"top_k", [](Request& r) { r.mutable_sampling()->set_top_k(-5); }},
      {"min_p", [](Request& r) { r.mutable_sampling()->set_min_p(2); }},
      {"repetition_penalty", [](Request& r) { r.mutable_sampling()->set_repetition_penalty(0); }},
      {"presence_penalty", [=](Request& r) { r.mutable_sampling()->set_presence_penalty(kNan); }},
      {"frequency_penalty", [](Request& r) { r.mutable_sampling()->set_frequency_penalty(1e30f); }},
      {"stop_ids", [](Request& r) { r.mutable_sampling()->add_stop_ids(100); }},
      {"stop_ids", [](Request& r) { r.mutable_sampling()->mutable_stop_ids()->Resize(129, 1); }},
      {"logit_bias", [](Request& r) { r.mutable_sampling()->add_logit_bias()->set_token_id(100); }},
      {"logit_bias", [=](Request& r) { r.mutable_sampling()->add_logit_bias()->set_bias(kInf); }},
  };
  for (const auto& [field, spoil] : cases) {
    v1::GenerateRequest request = Valid();
    spoil(request);
    const auto result = ValidateRequest(request, Model(), kEpoch);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(result.status().message()), testing::HasSubstr(field));
  }
}

}  // namespace
}  // namespace quire::worker
