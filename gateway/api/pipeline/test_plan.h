// For tests only: a plan of a chat for a model of a tiny vocabulary, whose facts and client are in the test's
// hands.
#pragma once

#include <gtest/gtest.h>

#include <climits>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/chat_door.h"
#include "gateway/api/pipeline/plan.h"
#include "gateway/generation/testing/tiny_text.h"

namespace quire::gateway {

// The template's own tokens around one user message of one byte.
inline constexpr uint64_t kPrompt = 1 + 5 + 1 + 1 + 1 + 1 + 10;

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    fact_.set_model("tiny");
    fact_.set_bundle_digest("d");
    fact_.set_max_context(100'000);
    fact_.set_plain_context(30'000);
    key_.set_key_id("k");
    key_.set_cache_salt("salt");
  }

  ApiResult<GenerationRequest> Plan(const std::string& fields) {
    ApiResult<DoorRequest> request =
        ParseChat(absl::StrCat(R"({"model": "tiny", "messages": [{"role": "user", "content": ")", content_,
                               R"("}])", fields.empty() ? "" : ", ", fields, "}"));
    EXPECT_TRUE(std::holds_alternative<DoorRequest>(request)) << fields;
    const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
    DoorRequest& chat = std::get<DoorRequest>(request);
    return PlanGeneration(chat.sampling, std::move(chat.prompt), model, key_, RequestId::Random(),
                          [this] { return ++questions_ >= gone_at_; });
  }
  GenerationRequest MustPlan(const std::string& fields) {
    ApiResult<GenerationRequest> plan = Plan(fields);
    if (auto* error = std::get_if<http::ApiError>(&plan)) {
      ADD_FAILURE() << error->message;
      return {};
    }
    return std::get<GenerationRequest>(std::move(plan));
  }
  http::ApiError MustRefuse(const std::string& fields) {
    ApiResult<GenerationRequest> plan = Plan(fields);
    EXPECT_TRUE(std::holds_alternative<http::ApiError>(plan)) << fields;
    return std::holds_alternative<http::ApiError>(plan) ? std::get<http::ApiError>(plan) : http::ApiError{};
  }

  static std::optional<http::ApiError> Held(const GenerationRequest& plan) {
    return CheckHeld({&plan, 1}, {}, Holding::kWhole);
  }

  std::string content_ = "x";
  int questions_ = 0, gone_at_ = INT_MAX;  // the client is found gone at the so manieth question
  v1::ModelFact fact_;
  v1::KeyFact key_;
  std::shared_ptr<const TextModel> text_ = *TextModel::Create(testing::TinyBundle());
};

}  // namespace quire::gateway
