// What the body of a text completion may say, and what is refused, each by its path.
#include "gateway/api/completions/completion_request.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/api/pipeline/door_request.h"

namespace quire::gateway {
namespace {

ApiResult<CompletionRequest> Read(const std::string& prompt, const std::string& fields = "") {
  return ParseCompletionRequest(
      absl::StrCat(R"({"model": "m", "prompt": )", prompt, fields.empty() ? "" : ", ", fields, "}"));
}
CompletionRequest MustRead(const std::string& prompt, const std::string& fields = "") {
  ApiResult<CompletionRequest> read = Read(prompt, fields);
  if (auto* error = std::get_if<http::ApiError>(&read)) {
    ADD_FAILURE() << prompt << " " << fields << " -> " << error->message;
    return {};
  }
  return std::get<CompletionRequest>(std::move(read));
}
std::string ParamOfRefusal(const std::string& prompt, const std::string& fields = "") {
  const ApiResult<CompletionRequest> read = Read(prompt, fields);
  const auto* error = std::get_if<http::ApiError>(&read);
  EXPECT_NE(error, nullptr) << prompt << " " << fields;
  if (error == nullptr) return "";
  EXPECT_EQ(error->status, 422);
  return error->param;
}
std::string ListOf(const std::string& entry, size_t count) {
  return absl::StrCat("[", absl::StrJoin(std::vector<std::string>(count, entry), ","), "]");
}

TEST(CompletionRequestTest, APromptHasFourForms) {
  EXPECT_EQ(std::get<TextPrompt>(MustRead(R"("a")").prompts.at(0)).text, "a");
  EXPECT_EQ(std::get<IdsPrompt>(MustRead("[1, 2.0]").prompts.at(0)).ids, (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(std::get<TextPrompt>(MustRead(R"(["a", "b"])").prompts.at(1)).text, "b");
  EXPECT_EQ(std::get<IdsPrompt>(MustRead("[[1], [2, 3]]").prompts.at(1)).ids, (std::vector<TokenId>{2, 3}));
  EXPECT_EQ(MustRead(R"(["a", [1]])").prompts.size(), 2u);
  EXPECT_TRUE(std::get<TextPrompt>(MustRead(R"("a")").prompts[0]).add_special_tokens);
  const auto plain = MustRead(R"(["a"])", R"("add_special_tokens": false)");
  EXPECT_FALSE(std::get<TextPrompt>(plain.prompts[0]).add_special_tokens);
}

TEST(CompletionRequestTest, APromptOfNoFormIsRefusedAtItsPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"null", "prompt"},
      {"1", "prompt"},
      {"{}", "prompt"},
      {"true", "prompt"},
      {R"([1, "a"])", "prompt.1"},
      {R"(["a", 1])", "prompt.1"},
      {"[null]", "prompt.0"},
      {"[{}]", "prompt.0"},
      {"[[1], [[1]]]", "prompt.1.0"},
      {"[[1.5]]", "prompt.0.0"},
      {"[4294967296]", "prompt.0"},
  };
  for (const auto& [prompt, param] : cases) EXPECT_EQ(ParamOfRefusal(prompt), param) << prompt;
}

TEST(CompletionRequestTest, SoManyPromptsAndNoMore) {
  EXPECT_EQ(MustRead(ListOf("\"a\"", kMaxPrompts)).prompts.size(), kMaxPrompts);
  EXPECT_EQ(ParamOfRefusal(ListOf("\"a\"", kMaxPrompts + 1)), "prompt");
  EXPECT_EQ(MustRead(ListOf("1", kMaxPrompts + 1)).prompts.size(), 1u);
}

TEST(CompletionRequestTest, LogprobsIsANumber) {
  EXPECT_FALSE(MustRead("\"a\"").sampling.logprobs);
  const CompletionRequest none = MustRead("\"a\"", "\"logprobs\": 0");
  EXPECT_TRUE(none.sampling.logprobs);
  EXPECT_EQ(none.sampling.top_logprobs, 0u);
  EXPECT_EQ(MustRead("\"a\"", "\"logprobs\": 5").sampling.top_logprobs, 5u);
  for (const char* wrong : {"6", "-1", "true", "1.5"}) {
    EXPECT_EQ(ParamOfRefusal("\"a\"", absl::StrCat("\"logprobs\": ", wrong)), "logprobs");
  }
}

TEST(CompletionRequestTest, WhatThisServerCannotDoIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("suffix": "x")", "suffix"},
      {R"("best_of": 2)", "best_of"},
      {R"("n": 5)", "n"},
      {R"("echo": 1)", "echo"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 0, "logprobs": 1)", "max_tokens"},
      {R"("max_tokens": -1, "echo": true)", "max_tokens"},
      {R"("max_tokens": 0, "min_tokens": 1, "echo": true)", "min_tokens"},
      {R"("stream_options": {})", "stream_options"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("return_tokens_as_token_ids": 1)", "return_tokens_as_token_ids"},
      {R"("user": 1)", "user"},
      {R"("tools": [{"type": "function", "function": {"name": "f"}}])", "tools"},
      {R"("stop": 1)", "stop"},
  };
  for (const auto& [fields, param] : cases) EXPECT_EQ(ParamOfRefusal("\"a\"", fields), param) << fields;
  MustRead("\"a\"", R"("best_of": 2, "n": 2, "suffix": null, "echo": false)");
  MustRead("\"a\"", R"("suffix": "", "user": "me", "logit_bias": {"1": 1}, "nobody knows": 1)");
}

TEST(CompletionRequestTest, ATextMayHaveAForm) {
  const CompletionRequest request = MustRead("\"a\"", R"("response_format": {"type": "json_object"})");
  EXPECT_EQ(request.sampling.format.kind, TextFormat::Kind::kJsonObject);
}

TEST(CompletionRequestTest, AnEchoWithLogprobsIsScoredAndMayBeAll) {
  const CompletionRequest scored = MustRead("\"a\"", R"("echo": true, "logprobs": 3, "max_tokens": 0)");
  EXPECT_TRUE(scored.sampling.scores_prompt);
  EXPECT_EQ(scored.sampling.max_tokens, 0);
  EXPECT_FALSE(MustRead("\"a\"", "\"echo\": true").sampling.scores_prompt);
  EXPECT_FALSE(MustRead("\"a\"", "\"logprobs\": 3").sampling.scores_prompt);
}

TEST(CompletionRequestTest, AnEchoOfIdsHasABound) {
  EXPECT_TRUE(MustRead(ListOf("1", kMaxEchoedIds), "\"echo\": true").echo);
  EXPECT_EQ(ParamOfRefusal(ListOf("1", kMaxEchoedIds + 1), "\"echo\": true"), "echo");
  EXPECT_EQ(ParamOfRefusal(ListOf(ListOf("1", kMaxEchoedIds / 2 + 1), 2), "\"echo\": true"), "echo");
}

}  // namespace
}  // namespace quire::gateway
