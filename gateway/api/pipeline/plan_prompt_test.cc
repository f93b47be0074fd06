// Plans of prompts that aren't one chat: texts, ids, several at once, of other doors; and what of them is
// held.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/messages_door.h"
#include "gateway/api/pipeline/plan.h"
#include "gateway/api/pipeline/test_plan.h"
#include "gateway/api/responses/responses_door.h"

namespace quire::gateway {
namespace {

using PlanPromptTest = PlanTest;

TEST_F(PlanPromptTest, TextAndIdsArePromptsToo) {
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  const auto plan = [&](Prompt prompt) {
    return PlanGeneration({}, std::move(prompt), model, key_, RequestId::Random(), [] { return false; });
  };
  const auto text = plan(TextPrompt{"ab"});
  EXPECT_EQ(std::get<GenerationRequest>(text).prompt, testing::TinyIds("ab"));
  const auto ids = plan(IdsPrompt{{1, 2}});
  EXPECT_EQ(std::get<GenerationRequest>(ids).prompt, (std::vector<TokenId>{1, 2}));
  for (const TokenId wrong : {-1, 258}) {
    const auto refused = plan(IdsPrompt{{1, wrong}});
    EXPECT_EQ(std::get<http::ApiError>(refused).param, "prompt.1");
  }
  EXPECT_EQ(std::get<http::ApiError>(plan(IdsPrompt{})).param, "prompt");
  EXPECT_EQ(std::get<http::ApiError>(plan(TextPrompt{})).param, "prompt");
}

TEST_F(PlanPromptTest, WhereAScoredPromptIsCachedIsNoMatter) {
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  const auto hashes = [&](bool scores) {
    SamplingRequest request;
    request.scores_prompt = scores;
    const auto plan = PlanGeneration(request, IdsPrompt{std::vector<TokenId>(100, 97), "prompt"}, model, key_,
                                     RequestId::Random(), [] { return false; });
    return std::get<GenerationRequest>(plan).prefix_hashes.size();
  };
  EXPECT_EQ(hashes(false), 6u);
  EXPECT_EQ(hashes(true), 0u);
}

TEST_F(PlanPromptTest, ATextBeginsWithTheCheckpointsStartTokenUnlessItIsNotTo) {
  v1::TextBundle bundle = testing::TinyBundle();
  for (v1::TextFile& file : *bundle.mutable_files()) {
    if (file.name() != "tokenizer.json") continue;
    auto tokenizer = nlohmann::ordered_json::parse(file.content());
    tokenizer["post_processor"] = nlohmann::ordered_json::parse(R"({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [], "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [256],
                                                        "tokens": ["<|im_start|>"]}}})");
    file.set_content(tokenizer.dump());
  }
  text_ = *TextModel::Create(bundle);
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  const auto plan = [&](Prompt prompt) {
    return std::get<GenerationRequest>(
               PlanGeneration({}, std::move(prompt), model, key_, RequestId::Random(), [] { return false; }))
        .prompt;
  };
  EXPECT_EQ(plan(TextPrompt{"a"}), (std::vector<TokenId>{256, 'a'}));
  EXPECT_EQ(plan(TextPrompt{.text = "a", .add_special_tokens = false}), (std::vector<TokenId>{'a'}));
  EXPECT_EQ(plan(IdsPrompt{{'a'}}), (std::vector<TokenId>{'a'}));
  EXPECT_EQ(MustPlan("").prompt.size(), kPrompt) << "templates write their own";
}

TEST_F(PlanPromptTest, SeveralPromptsHaveIdsOfOneFamilyAndPlacesOfTheirOwn) {
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  const RequestId id = RequestId::Random();
  const auto plan = [&](std::vector<Prompt> prompts) {
    return PlanGenerations({}, std::move(prompts), model, key_, id, [] { return false; });
  };
  const auto plans = plan({TextPrompt{"a"}, IdsPrompt{{1, 2}}});
  const auto& both = std::get<std::vector<GenerationRequest>>(plans);
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].id, id);
  EXPECT_NE(both[1].id, id);
  EXPECT_EQ(both[1].id.ToHex().substr(0, 30), id.ToHex().substr(0, 30));
  EXPECT_NE(both[0].seed, both[1].seed);
  const auto error = std::get<http::ApiError>(plan({TextPrompt{"a"}, IdsPrompt{{1, 258}, "prompt.1"}}));
  EXPECT_EQ(error.param, "prompt.1.1");
  EXPECT_TRUE(error.message.starts_with("prompt.1.1: ")) << error.message;
}

// It may be large, and much work.
TEST_F(PlanPromptTest, TheFormOfSeveralPromptsAnswersIsMadeAndKeptOnce) {
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  SamplingRequest request;
  request.format.kind = TextFormat::Kind::kRegex;
  request.format.source = "a+";
  const auto planned = PlanGenerations(request, {TextPrompt{"a"}, IdsPrompt{{1}}, TextPrompt{"b"}}, model,
                                       key_, RequestId::Random(), [] { return false; });
  const auto& plans = std::get<std::vector<GenerationRequest>>(planned);
  ASSERT_NE(plans.front().grammar, nullptr);
  for (const GenerationRequest& plan : plans) {
    EXPECT_EQ(plan.grammar, plans.front().grammar) << "the same one";
    EXPECT_EQ(plan.grammar_kind, plans.front().grammar_kind);
  }
}

TEST_F(PlanPromptTest, WholeAnswersToSeveralPromptsHaveABoundTogether) {
  GenerationRequest plan = MustPlan("\"max_tokens\": 32768");
  std::vector<GenerationRequest> plans(32, plan);
  EXPECT_FALSE(CheckHeld(plans, {}, Holding::kWhole));
  plans.back().max_tokens = 32769;
  EXPECT_EQ(CheckHeld(plans, {}, Holding::kWhole)->param, "max_tokens");
  plan.sampling.set_logprobs(true);
  plan.max_tokens = (1 << 19) / 32;
  plans.assign(32, plan);
  EXPECT_FALSE(CheckHeld(plans, {}, Holding::kWhole));
  ++plans.front().max_tokens;
  EXPECT_EQ(CheckHeld(plans, {}, Holding::kWhole)->param, "max_tokens");
}

TEST_F(PlanPromptTest, AStreamThatRepeatsHoldsAFifth) {
  GenerationRequest plan = MustPlan(R"("max_tokens": 4993, "logprobs": true, "top_logprobs": 20)");
  SamplingRequest request;
  request.max_tokens_param = "max_output_tokens";
  EXPECT_FALSE(CheckHeld({&plan, 1}, request, Holding::kRepeated));
  ++plan.max_tokens;
  const auto refused = CheckHeld({&plan, 1}, request, Holding::kRepeated);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->param, "max_output_tokens");
  EXPECT_EQ(refused->message.find("or stream"), std::string::npos) << "it is a stream";
  EXPECT_FALSE(CheckHeld({&plan, 1}, request, Holding::kWhole));
  plan.sampling.set_logprobs(false);
  EXPECT_FALSE(CheckHeld({&plan, 1}, request, Holding::kRepeated)) << "text alone has the tokens' bound";
}

// Each door's fields have names of their own, and its turns need not be its messages.
TEST_F(PlanPromptTest, ARefusalNamesTheDoorsOwnFields) {
  fact_.set_max_context(kPrompt);
  text_ = *TextModel::Create(testing::TinyBundleWithoutSystem());
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  const auto refuse = [&](ApiResult<DoorRequest> parsed) {
    DoorRequest& door = std::get<DoorRequest>(parsed);
    auto plan = PlanGeneration(door.sampling, std::move(door.prompt), model, key_, RequestId::Random(),
                               [] { return false; });
    return std::holds_alternative<http::ApiError>(plan) ? std::get<http::ApiError>(plan) : http::ApiError{};
  };
  const http::ApiError full =
      refuse(ParseResponses(R"({"model": "tiny", "input": "x", "max_output_tokens": 7})"));
  EXPECT_EQ(full.param, "input");
  EXPECT_NE(full.message.find("max_output_tokens asks for 7"), std::string::npos) << full.message;
  constexpr char kCall[] = R"({"model": "tiny", "max_tokens": 1, "system": "s", "messages": [
      {"role": "user", "content": "x"},
      {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "get", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "y"}]}]})";
  EXPECT_EQ(refuse(ParseMessages(kCall)).param, "messages.1.content.0");
}

TEST_F(PlanPromptTest, APromptThatLeavesNoRoomForAnAnswerIsCounted) {
  fact_.set_max_context(kPrompt);
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  ApiResult<Question> count =
      ParseMessagesToCount(R"({"model": "tiny", "messages": [{"role": "user", "content": "x"}]})");
  const ApiResult<std::string> body = std::get<Question>(count).answer(model, [] { return false; });
  ASSERT_TRUE(std::holds_alternative<std::string>(body)) << std::get<http::ApiError>(body).message;
  EXPECT_EQ(std::get<std::string>(body), absl::StrCat("{\"input_tokens\":", kPrompt, "}"));
}

}  // namespace
}  // namespace quire::gateway
