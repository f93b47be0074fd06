// The body of POST /v1/chat/completions, declared (field.h): the list of all its fields. Constants; any
// thread.
#pragma once

#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/chat/declared_messages.h"
#include "gateway/api/chat/declared_tools.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

inline constexpr IntegerField kChoices{
    .name = "n", .min = 1, .max = 4, .about = "Choices, which read the prompt once.", .absent = "1"};
inline constexpr BoolField kLogprobs{
    .name = "logprobs", .about = "Each token with its log-probability and its bytes.", .absent = "false"};
inline constexpr IntegerField kTopLogprobs{
    .name = "top_logprobs",
    .min = 0,
    .max = 20,
    .about = "So many of the likeliest in each place, too; goes with `logprobs: true` only.",
    .absent = "0"};
inline constexpr ObjectField kMetadata{.name = "metadata", .shape = &kAnyObject, .about = kUnused};
inline constexpr ObjectField kPrediction{.name = "prediction", .shape = &kAnyObject, .about = kUnused};

inline constexpr StringField kChatLabels[] = {kUser, kPromptCacheKey, kPromptCacheRetention,
                                              kSafetyIdentifier, kServiceTier};
inline constexpr auto kChatFields = JoinLists(
    std::to_array<AnyField>({kModel, kMessages, kTools, kToolChoice, kParallelToolCalls}), kStreamFields,
    std::to_array<AnyField>({kMaxTokens, kMaxCompletionTokens}), kSamplingFields,
    std::to_array<AnyField>({kChoices, kLogprobs, kTopLogprobs}), kReasoningWishFields,
    std::to_array<AnyField>({kResponseFormat}), ListOf(kChatLabels),
    std::to_array<AnyField>({kStore, kMetadata, kPrediction}), kUnsupportedFields, kChatRefusedFields);
inline constexpr const char* kChatRules[] = {
    kStreamRule,
    R"({"if":{"properties":{"top_logprobs":{"type":"number","exclusiveMinimum":0}},)"
    R"("required":["top_logprobs"]},"then":{"properties":{"logprobs":{"const":true}},)"
    R"("required":["logprobs"]}})",
    kToolsChosenRule};
inline constexpr DeclaredObject kChatShape{
    .name = "ChatRequest",
    .fields = kChatFields,
    .rules = kChatRules,
    .example =
        R"({"model":"MODEL","messages":[{"role":"user","content":"What is the capital of France?"}]})"};

}  // namespace quire::gateway
