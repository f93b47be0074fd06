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

TEST(RequestValidation, TakesEveryField) {
  v1::GenerateRequest request = Valid();
  request.set_cache_salt("salt");
  request.mutable_choices(0)->add_resumed_ids(7);
  auto& sampling = *request.mutable_sampling();
  sampling.set_temperature(0.5f);
  sampling.set_min_tokens(2);
  sampling.set_ignore_eos(true);
  sampling.add_stop_ids(5);
  sampling.add_logit_bias()->set_token_id(4);
  sampling.mutable_logit_bias(0)->set_bias(-100);
  const auto result = ValidateRequest(request, Model(), kEpoch);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->prompt_ids, (std::vector<TokenId>{1, 2, 99}));
  EXPECT_EQ(result->resumed_ids, (std::vector<TokenId>{7}));
  EXPECT_EQ(result->stop_ids, (std::vector<TokenId>{5}));
  EXPECT_EQ(result->seed, 0xffffffffffffffffull);
  EXPECT_EQ(result->cache_salt, "salt");
  EXPECT_EQ(result->min_tokens, 2);
  EXPECT_TRUE(result->ignore_eos);
  EXPECT_EQ(result->sampling.temperature, 0.5f);
  EXPECT_EQ(result->sampling.logit_bias[0], (std::pair<TokenId, float>(4, -100.0f)));
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
      {"choices", [](Request& r) { r.add_choices(); }},
      {"done", [](Request& r) { r.mutable_choices(0)->set_done(true); }},
      {"resumed_ids", [](Request& r) { r.mutable_choices(0)->add_resumed_ids(100); }},
      {"resumed_ids", [](Request& r) { r.mutable_choices(0)->mutable_resumed_ids()->Resize(11, 1); }},
      {"grammar", [](Request& r) { r.mutable_grammar(); }},
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
