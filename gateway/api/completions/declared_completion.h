// The body of POST /v1/completions, declared (field.h): the list of all its fields. Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

inline constexpr const char* kPromptForms = "give a text, a list of token ids, or a list of either";
inline constexpr ShapeField kPrompt{
    .name = "prompt",
    .schema = R"({"anyOf":[{"title":"a text","type":"string"},)"
              R"({"title":"token ids","type":"array","minItems":1,)"
              R"("items":{"type":"integer","minimum":0,"maximum":2147483647}},)"
              R"({"title":"several","type":"array","minItems":1,"maxItems":32,"items":{"anyOf":[)"
              R"({"type":"string"},{"type":"array","minItems":1,)"
              R"("items":{"type":"integer","minimum":0,"maximum":2147483647}}]}}]})",
    .about = "A text, token ids, or up to 32 of either. Special tokens in a text are read as such.",
    .required = true};
inline constexpr BoolField kAddStartToken{
    .name = "add_special_tokens",
    .about = "Before a text, the start token that the checkpoint's tokenizer puts there, if any.",
    .absent = "true"};
inline constexpr IntegerField kPromptChoices{
    .name = "n", .min = 1, .max = 4, .about = "Choices of each prompt.", .absent = "1"};
inline constexpr IntegerField kLogprobCount{
    .name = "logprobs",
    .min = 0,
    .max = 5,
    .about = "Each token with its log-probability, and so many of the likeliest in its place."};
inline constexpr IntegerField kBestOf{.name = "best_of", .min = 1, .max = 4, .about = "What `n` is."};
inline constexpr IntegerField kEchoMaxTokens{
    .name = "max_tokens",
    .min = 0,
    .max = kMostTokens,
    .about =
        "The most tokens of each choice; prompt and answer must fit the context. 0, with `echo` only: the "
        "prompt alone. Absent: what fits, at most 16,384."};
inline constexpr BoolField kEcho{.name = "echo",
                                 .about =
                                     "Each text begins with its prompt, beside `logprobs` with those of "
                                     "its tokens.",
                                 .absent = "false"};
inline constexpr BoolField kTokensAsIds{.name = "return_tokens_as_token_ids",
                                        .about = "`token_id:5` in place of a token's text, in `logprobs`.",
                                        .absent = "false"};
inline constexpr RefusedField kNoTools{
    .name = "tools", .advice = "only chats have tools: ask for one", .not_yet = false};

inline constexpr StringField kCompletionLabels[] = {kUser, kPromptCacheKey, kSafetyIdentifier, kServiceTier};
inline constexpr auto kCompletionFields = JoinLists(
    std::to_array<AnyField>({kModel, kPrompt, kAddStartToken}), kStreamFields,
    std::to_array<AnyField>({kEchoMaxTokens}), kSamplingFields,
    std::to_array<AnyField>({kResponseFormat, kPromptChoices, kLogprobCount, kBestOf, kEcho, kTokensAsIds}),
    ListOf(kCompletionLabels), std::to_array<AnyField>({kNoTools}), kUnsupportedFields);
inline constexpr const char* kCompletionRules[] = {
    kStreamRule, R"({"if":{"properties":{"echo":{"const":true}},"required":["echo"]},)"
                 R"("else":{"properties":{"max_tokens":{"not":{"const":0}}}}})"};
inline constexpr DeclaredObject kCompletionShape{
    .name = "CompletionRequest",
    .fields = kCompletionFields,
    .rules = kCompletionRules,
    .example = R"({"model":"MODEL","prompt":"Once upon a time"})"};

}  // namespace quire::gateway
