#include "gateway/api/pipeline/plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "gateway/api/messages/messages_door.h"
#include "gateway/api/pipeline/test_plan.h"
#include "gateway/api/pipeline/tool_plan.h"
#include "gateway/api/responses/responses_door.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;
using testing::kTinyEos;

TEST_F(PlanTest, TheRequestThenTheCheckpointThenNeutral) {
  const v1::Sampling own = MustPlan(R"("temperature": 0, "top_k": 3, "presence_penalty": 1)").sampling;
  EXPECT_EQ(own.temperature(), 0);
  EXPECT_EQ(own.top_k(), 3);
  EXPECT_EQ(own.presence_penalty(), 1);
  EXPECT_EQ(own.top_p(), 0.75f) << "generation_config.json's";
  EXPECT_EQ(own.repetition_penalty(), 1);
  EXPECT_EQ(MustPlan("").sampling.temperature(), 0.5f);
  EXPECT_EQ(MustPlan(R"("temperature": 1e-40)").sampling.temperature(), 0)
      << "too small to divide by: greedy";
}

TEST_F(PlanTest, ToolsAreForTemplatesThatHaveAPlaceForThem) {
  text_ = *TextModel::Create(testing::TinyBundleWithoutSystem());
  const std::string tools = R"("tools": [{"function": {"name": "f", "description": "d"}}])";
  for (const char* choice : {"", R"(, "tool_choice": "none")"}) {
    const http::ApiError error = MustRefuse(tools + choice);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, "tools");
    EXPECT_EQ(error.code, "tools_not_supported");
  }
  text_ = *TextModel::Create(testing::TinyToolBundle());
  const auto prompt = [&](const std::string& fields) {
    std::string text;
    for (const TokenId id : MustPlan(fields).prompt) text += text_->tokenizer().BytesOf(id);
    return text;
  };
  const std::string plain = prompt("");
  EXPECT_EQ(prompt(tools),
            "<|im_start|>system\n{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": "
            "\"d\"}}<|im_end|>\n" +
                plain);
  EXPECT_EQ(prompt(R"("tools": [])"), plain);
}

// As Llama 3's, which would refuse the conversation that goes on behind an answer of two calls.
TEST_F(PlanTest, WhereATemplateTakesOneCallAtATimeThereIsOne) {
  const std::string tools = R"("tools": [{"function": {"name": "f"}}])";
  v1::TextBundle bundle = testing::TinyToolBundle();
  text_ = *TextModel::Create(bundle);
  GenerationRequest plan = MustPlan(tools);
  EXPECT_TRUE(plan.calls.parallel);
  EXPECT_NE(plan.grammar->find(R"("stop_after_first":false)"), std::string::npos);
  ChatPrompt prompt;
  prompt.turns = {{.role = "user", .content = "q"}, {.role = "assistant", .content = ""}};
  prompt.turns[1].tool_calls = {
      {.id = "a", .name = "f", .arguments = json::object(), .place = "messages.3.tool_calls.0"},
      {.id = "b", .name = "f", .arguments = json::object(), .place = "messages.3.tool_calls.1"}};
  EXPECT_FALSE(CheckToolsTaken(prompt, *text_));

  for (auto& file : *bundle.mutable_files()) {
    if (file.name() != "tokenizer_config.json") continue;
    json config = json::parse(file.content());
    config["chat_template"] =
        "{% for m in messages %}{% if m['tool_calls'] and m['tool_calls'] | length != 1 %}"
        "{{ raise_exception('single tool-calls') }}{% endif %}{% endfor %}" +
        config["chat_template"].get<std::string>();
    file.set_content(config.dump());
  }
  text_ = *TextModel::Create(bundle);
  ASSERT_EQ(text_->tool_form(), ToolForm::kHermes);
  plan = MustPlan(tools);
  EXPECT_FALSE(plan.calls.parallel);
  EXPECT_NE(plan.grammar->find(R"("stop_after_first":true)"), std::string::npos);
  const auto error = CheckToolsTaken(prompt, *text_);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->param, "messages.3.tool_calls.1");
  prompt.turns[1].tool_calls.pop_back();
  EXPECT_FALSE(CheckToolsTaken(prompt, *text_));
}

// Its template would leave them out without a word.
TEST_F(PlanTest, AHistoryWithToolsIsForTemplatesThatHaveAPlaceForThem) {
  text_ = *TextModel::Create(testing::TinyBundleWithoutSystem());
  const auto plan = [&](const std::string& fields) {
    const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
    ApiResult<DoorRequest> request = ParseChat(absl::StrCat(
        R"({"model": "tiny", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", )", fields,
        R"(}, {"role": "tool", "tool_call_id": "a", "content": "r"}]})"));
    DoorRequest& chat = std::get<DoorRequest>(request);
    return PlanGeneration(chat.sampling, std::move(chat.prompt), model, key_, RequestId::Random(),
                          [] { return false; });
  };
  const std::string call = R"("tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}])";
  const http::ApiError error = std::get<http::ApiError>(plan(call));
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.param, "messages.1.tool_calls.0");
  text_ = *TextModel::Create(testing::TinyToolBundle());
  EXPECT_TRUE(std::holds_alternative<GenerationRequest>(plan(call)));
}

// Whose turns are not the plan's, one for one.
TEST_F(PlanTest, WhatIsWrongWithACallIsSaidAtTheClientsOwnPlace) {
  text_ = *TextModel::Create(testing::TinyBundleWithoutSystem());
  const auto place = [&](ApiResult<DoorRequest> request) {
    const auto error = CheckToolsTaken(std::get<ChatPrompt>(std::get<DoorRequest>(request).prompt), *text_);
    return error ? error->param : "";
  };
  EXPECT_EQ(place(ParseMessages(R"({"model": "m", "max_tokens": 1, "system": "s", "messages": [
      {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
      {"role": "assistant", "content": [{"type": "text", "text": "c"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]})")),
            "messages.2.content.1");
  EXPECT_EQ(place(ParseResponses(R"({"model": "m", "instructions": "s", "input": [
      {"role": "user", "content": "a"}, {"type": "reasoning"}, {"role": "assistant", "content": "b"},
      {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "1", "output": "c"}]})")),
            "input.3");
}

TEST_F(PlanTest, TopPOfZeroIsTheSmallestNucleus) {
  for (const char* fields : {"\"top_p\": 0", "\"top_p\": 1e-60"}) {
    const float top_p = MustPlan(fields).sampling.top_p();
    EXPECT_GT(top_p, 0) << "what the worker takes";
    EXPECT_LT(top_p, 1e-30f);
  }
}

TEST_F(PlanTest, AModelThatDoesNotReasonTakesEveryEffort) {
  for (const char* fields :
       {R"("reasoning_effort": "none")", R"("reasoning_effort": "high")",
        R"("reasoning": {"enabled": false})", R"("chat_template_kwargs": {"enable_thinking": false})",
        R"("separate_reasoning": true)"}) {
    MustPlan(fields);
  }
}

TEST_F(PlanTest, WhereTheAnswerBeginsIsThePromptsMatter) {
  using Place = ReasoningStart::Place;
  EXPECT_FALSE(MustPlan("").reasoning.end_id);
  text_ = *TextModel::Create(testing::TinyReasoningBundle());
  const GenerationRequest plan = MustPlan("");
  EXPECT_EQ(plan.reasoning.start_id, text_->think_start_id());
  EXPECT_EQ(plan.reasoning.end_id, text_->think_end_id());
  EXPECT_EQ(plan.reasoning.start.place, Place::kReasoning);
  EXPECT_TRUE(plan.reasoning.separate);
  EXPECT_FALSE(MustPlan(R"("separate_reasoning": false)").reasoning.separate);
  const GenerationRequest none = MustPlan(R"("reasoning_effort": "none")");
  EXPECT_EQ(none.reasoning.start.place, Place::kContent);
  EXPECT_EQ(none.prompt.size(), plan.prompt.size() + 4) << "a newline, </think>, two newlines";
  EXPECT_EQ(MustPlan(R"("reasoning_effort": "low")").prompt, plan.prompt);
  text_ = *TextModel::Create(testing::TinyBundleWith({"<think>", "</think>"}));
  EXPECT_EQ(MustPlan("").reasoning.start.place, Place::kModelsChoice);
}

TEST_F(PlanTest, TextThatGoesOnIsNoPlaceToBeginToReason) {
  using Place = ReasoningStart::Place;
  text_ = *TextModel::Create(testing::TinyBundleWith({"<think>", "</think>"}));
  content_ = R"(x"}, {"role": "assistant", "content": ")";
  EXPECT_EQ(MustPlan("").reasoning.start.place, Place::kModelsChoice);
  content_ += "a";
  EXPECT_EQ(MustPlan("").reasoning.start.place, Place::kContent);
  text_ = *TextModel::Create(testing::TinyReasoningBundle());
  EXPECT_EQ(MustPlan("").reasoning.start.place, Place::kContent);
}

TEST_F(PlanTest, TextAndIdsAreAnsweredAsTheModelWrites) {
  text_ = *TextModel::Create(testing::TinyReasoningBundle());
  const CatalogModel model{std::make_shared<const v1::ModelFact>(fact_), text_};
  for (const Prompt& prompt :
       {Prompt(TextPrompt{"<think>"}), Prompt(IdsPrompt{{*text_->think_start_id()}})}) {
    const auto plan = PlanGeneration({}, prompt, model, key_, RequestId::Random(), [] { return false; });
    const ReasoningRules& rules = std::get<GenerationRequest>(plan).reasoning;
    EXPECT_FALSE(rules.end_id);
    EXPECT_EQ(rules.start.place, ReasoningStart::Place::kContent);
  }
}

TEST_F(PlanTest, TheLoopGuardIsOffUnlessAskedFor) {
  EXPECT_FALSE(MustPlan("").loop_guard);
  EXPECT_TRUE(MustPlan("\"loop_guard\": true").loop_guard);
}

TEST_F(PlanTest, MaxTokensIsWhatFits) {
  EXPECT_EQ(MustPlan("").max_tokens, 16384u);
  EXPECT_EQ(MustPlan("\"max_tokens\": 20000").max_tokens, 20000u);
  fact_.set_max_output_tokens(500);
  EXPECT_EQ(MustPlan("").max_tokens, 500u);
  EXPECT_EQ(MustRefuse("\"max_tokens\": 501").param, "max_tokens");
  fact_.set_max_context(kPrompt + 7);
  EXPECT_EQ(MustPlan("").max_tokens, 7u);
  EXPECT_EQ(MustPlan("\"max_tokens\": 7").max_tokens, 7u);
  EXPECT_EQ(MustRefuse("\"max_tokens\": 8").code, "context_length_exceeded");
  EXPECT_EQ(MustRefuse("\"min_tokens\": 8").param, "min_tokens");
  fact_.set_max_context(kPrompt);
  EXPECT_EQ(MustRefuse("").code, "context_length_exceeded");
}

TEST_F(PlanTest, APromptThatCantFitIsGivenUpAtOnce) {
  content_ = std::string(5'000'000, 'x');
  const http::ApiError error = MustRefuse("");
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_NE(error.message.find("maximum context length is 100000 tokens"), std::string::npos);
}

TEST_F(PlanTest, ScaledRopeFromTheFirstPositionThatNeedsIt) {
  EXPECT_EQ(MustPlan(absl::StrCat("\"max_tokens\": ", 30'000 - kPrompt)).rope, v1::ROPE_PLAIN);
  EXPECT_EQ(MustPlan(absl::StrCat("\"max_tokens\": ", 30'001 - kPrompt)).rope, v1::ROPE_SCALED);
}

TEST_F(PlanTest, StopIdsAreTheCheckpointsAndTheClients) {
  const auto ids = [this](const std::string& fields) {
    const v1::Sampling sampling = MustPlan(fields).sampling;
    return std::vector<int32_t>(sampling.stop_ids().begin(), sampling.stop_ids().end());
  };
  EXPECT_EQ(ids(""), (std::vector<int32_t>{kTinyEos}));
  EXPECT_EQ(ids("\"stop_token_ids\": [5]"), (std::vector<int32_t>{kTinyEos, 5}));
  EXPECT_EQ(ids("\"ignore_eos\": true, \"stop_token_ids\": [5]"), (std::vector<int32_t>{5}));
}

TEST_F(PlanTest, SaysOfWhichTextBundleItsIdsAre) { EXPECT_EQ(MustPlan("").bundle_digest, "d"); }

TEST_F(PlanTest, HashesTheFirstWholeBlocksOfThePrompt) {
  const GenerationRequest plan = MustPlan("");
  const auto hashes = PrefixBlockHashes("salt", "ROPE_PLAIN", plan.prompt);
  ASSERT_EQ(hashes.size(), 1u);
  EXPECT_EQ(plan.prefix_hashes, std::vector<std::string>{ToBytes(hashes[0])});
  content_ = std::string(2000, 'x');
  EXPECT_EQ(MustPlan("").prefix_hashes.size(), 64u) << "no more are taken by the coordinator";
}

TEST_F(PlanTest, ASeedIsAlwaysSet) {
  EXPECT_EQ(MustPlan("\"seed\": -1").seed, UINT64_MAX);
  EXPECT_NE(MustPlan("").seed, MustPlan("").seed);
}

TEST_F(PlanTest, WhatIsHeldOfLogprobsHasABound) {
  const std::string most = R"("n": 4, "logprobs": true, "top_logprobs": 20, "max_tokens": )";
  EXPECT_FALSE(Held(MustPlan(most + "6241")));  // 2^19 / (4 * 21)
  EXPECT_EQ(Held(MustPlan(most + "6242"))->param, "max_tokens");
  EXPECT_FALSE(Held(MustPlan(R"("n": 4, "max_tokens": 90000)")));
}

TEST_F(PlanTest, NothingIsEncodedForAClientThatLeft) {
  gone_at_ = 1;
  EXPECT_EQ(MustRefuse("").message, ClientLeft().message);
  questions_ = 0;
  gone_at_ = 2;  // while it is encoded
  EXPECT_EQ(MustRefuse("").message, ClientLeft().message);
}

TEST_F(PlanTest, IdsAreCheckedAgainstTheVocabulary) {
  EXPECT_EQ(MustRefuse("\"logit_bias\": {\"258\": 1}").param, "logit_bias.258");
  EXPECT_EQ(MustPlan("\"logit_bias\": {\"257\": 1}").sampling.logit_bias(0).token_id(), 257);
}

}  // namespace
}  // namespace quire::gateway
