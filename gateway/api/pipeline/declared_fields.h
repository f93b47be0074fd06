// The fields of a request that several doors have, declared (field.h): which model, how tokens are chosen,
// how an answer is streamed, what form it has. Constants; any thread.
#pragma once

#include "gateway/api/field.h"
#include "gateway/text/stop_matcher.h"

namespace quire::gateway {

inline constexpr int64_t kMostTokens = 1'000'000;
inline constexpr size_t kMaxLabelBytes = 512;

inline constexpr StringField kModel{.name = "model",
                                    .max_bytes = 256,
                                    .about = "A name from `GET /v1/models`.",
                                    .filled = true,
                                    .required = true};

// ---- how tokens are chosen ----

inline constexpr NumberField kTemperature{.name = "temperature",
                                          .min = 0,
                                          .max = 2,
                                          .about =
                                              "0 is greedy. Absent: the checkpoint's generation_config.json, "
                                              "else 1."};
inline constexpr NumberField kTopP{
    .name = "top_p",
    .min = 0,
    .max = 1,
    .about = "0 is the likeliest token alone. Absent: the checkpoint's, else 1."};
inline constexpr NumberField kMinP{
    .name = "min_p", .min = 0, .max = 1, .about = "Absent: the checkpoint's, else 0."};
inline constexpr IntegerField kTopK{
    .name = "top_k", .min = 0, .max = 999, .about = "0 is off. Absent: the checkpoint's, else 0."};
inline constexpr NumberField kRepetitionPenalty{
    .name = "repetition_penalty",
    .min = 0.01,
    .max = 5,
    .about = "Over prompt and answer. Absent: the checkpoint's, else 1."};
inline constexpr NumberField kPresencePenalty{
    .name = "presence_penalty", .min = -2, .max = 2, .about = "Over the answer.", .absent = "0"};
inline constexpr NumberField kFrequencyPenalty{
    .name = "frequency_penalty", .min = -2, .max = 2, .about = "Over the answer.", .absent = "0"};
inline constexpr IntegerField kMinTokens{.name = "min_tokens",
                                         .min = 0,
                                         .max = kMostTokens,
                                         .about = "No end before that; at most the most tokens.",
                                         .absent = "0"};
inline constexpr StopsField kStop{.name = "stop",
                                  .max_items = kMaxStops,
                                  .max_bytes = 1024,
                                  .about = "Ends the answer; never part of it. Each has up to 1,024 bytes."};
inline constexpr ShapeField kSeed{
    .name = "seed",
    .schema = R"({"type":"integer","minimum":-9223372036854775808,"maximum":18446744073709551615})",
    .about =
        "The same request with the same seed gives the same tokens, whatever runs beside it. Absent: "
        "random."};
inline constexpr ShapeField kLogitBias{
    .name = "logit_bias",
    .schema = R"({"type":"object","maxProperties":1024,"propertyNames":{"pattern":"^(0|[1-9][0-9]{0,9})$"},)"
              R"("additionalProperties":{"type":"number","minimum":-100,"maximum":100}})",
    .about = "What is added to a token's logit, by its id."};
inline constexpr TokenIdsField kStopTokenIds{
    .name = "stop_token_ids", .max_items = 64, .about = "Tokens that end the answer."};
inline constexpr BoolField kIgnoreEos{
    .name = "ignore_eos", .about = "Go on past the model's own end.", .absent = "false"};
inline constexpr BoolField kLoopGuard{
    .name = "loop_guard",
    .about = "End a choice that says the same over and over (`finish_details`).",
    .absent = "false"};

inline constexpr auto kSamplingFields = std::to_array<AnyField>(
    {kTemperature, kTopP, kMinP, kTopK, kRepetitionPenalty, kPresencePenalty, kFrequencyPenalty, kMinTokens,
     kStop, kSeed, kLogitBias, kStopTokenIds, kIgnoreEos, kLoopGuard});

// The names that doors have for it.
inline constexpr const char* kAboutMaxTokens =
    "The most tokens of each choice; prompt and answer must fit the context. Absent: what fits, at most "
    "16,384.";
inline constexpr IntegerField kMaxTokens{
    .name = "max_tokens", .min = 1, .max = kMostTokens, .about = kAboutMaxTokens};
inline constexpr IntegerField kMaxCompletionTokens{.name = "max_completion_tokens",
                                                   .min = 1,
                                                   .max = kMostTokens,
                                                   .about = "The same as `max_tokens`, by its newer name."};
inline constexpr IntegerField kMaxNewTokens{
    .name = "max_new_tokens", .min = 1, .max = kMostTokens, .about = kAboutMaxTokens};
inline constexpr IntegerField kMaxOutputTokens{
    .name = "max_output_tokens", .min = 1, .max = kMostTokens, .about = kAboutMaxTokens};
inline constexpr IntegerField kRequiredMaxTokens{
    .name = "max_tokens",
    .min = 1,
    .max = kMostTokens,
    .about = "The most tokens of the answer; prompt and answer must fit the context.",
    .required = true};

// ---- how it is streamed ----

inline constexpr BoolField kStream{
    .name = "stream", .about = "As server-sent events, as the text is made.", .absent = "false"};
inline constexpr BoolField kIncludeUsage{
    .name = "include_usage",
    .about =
        "true: a last chunk with `choices: []` and the usage; false: no usage. Absent: usage on the chunk "
        "with the finish_reason."};
inline constexpr BoolField kIncludeObfuscation{.name = "include_obfuscation",
                                               .about = "Changes nothing: streams are not padded."};
inline constexpr BoolField kContinuousUsage{
    .name = "continuous_usage_stats", .about = "Not supported.", .never = "leave it out or give false"};
inline constexpr AnyField kStreamOptionFields[] = {kIncludeUsage, kIncludeObfuscation, kContinuousUsage};
inline constexpr DeclaredObject kStreamOptionsShape{.name = "StreamOptions", .fields = kStreamOptionFields};
inline constexpr ObjectField kStreamOptions{
    .name = "stream_options", .shape = &kStreamOptionsShape, .about = "Goes with `stream: true` only."};
inline constexpr auto kStreamFields = std::to_array<AnyField>({kStream, kStreamOptions});

// ---- reasoning ----

inline constexpr const char* kEffortWords[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
inline constexpr const char* kEffortAdvice = "give none, minimal, low, medium, high, xhigh or max";
inline constexpr const char* kAboutEffort =
    "none: no reasoning; minimal, low, medium: up to 512, 2,048, 8,192 tokens of it; others: any. "
    "Absent: the template's.";
inline constexpr ChoiceField kReasoningEffort{
    .name = "reasoning_effort", .words = kEffortWords, .advice = kEffortAdvice, .about = kAboutEffort};
inline constexpr ChoiceField kEffort{
    .name = "effort", .words = kEffortWords, .advice = kEffortAdvice, .about = kAboutEffort};

// ---- a JSON schema for the answer ----

inline constexpr ShapeField kSchema{
    .name = "schema",
    .schema = R"({"type":["object","boolean"]})",
    .about =
        "A JSON schema (draft 2020-12). One that answers can't be held to is refused: 400 "
        "`invalid_schema`.",
    .required = true};
inline constexpr StringField kSchemaName{
    .name = "name", .max_bytes = 64, .about = "Of the schema; not used."};
inline constexpr StringField kSchemaDescription{
    .name = "description", .max_bytes = 64 << 10, .about = "Of the schema; not used."};
inline constexpr BoolField kSchemaStrict{
    .name = "strict", .about = "false: what can't be enforced is let be.", .absent = "true"};
inline constexpr auto kNamedSchemaFields =
    std::to_array<AnyField>({kSchemaName, kSchemaDescription, kSchemaStrict, kSchema});

// ---- what changes nothing ----

inline constexpr const char* kUnused = "Not used; the type is checked.";
inline constexpr StringField kUser{.name = "user", .max_bytes = kMaxLabelBytes, .about = kUnused};
inline constexpr StringField kPromptCacheKey{
    .name = "prompt_cache_key",
    .max_bytes = kMaxLabelBytes,
    .about = "Not used: prompts are cached per account by themselves."};
inline constexpr StringField kPromptCacheRetention{
    .name = "prompt_cache_retention", .max_bytes = kMaxLabelBytes, .about = kUnused};
inline constexpr StringField kSafetyIdentifier{
    .name = "safety_identifier", .max_bytes = kMaxLabelBytes, .about = kUnused};
inline constexpr StringField kServiceTier{
    .name = "service_tier", .max_bytes = kMaxLabelBytes, .about = "Not used: there is one tier."};
inline constexpr BoolField kStore{.name = "store", .about = "Not used: nothing is stored."};
inline constexpr DeclaredObject kAnyObject{.name = "AnyObject", .fields = {}};

// Of a body with stream_options.
inline constexpr const char* kStreamRule =
    R"({"if":{"properties":{"stream_options":{"type":"object"}},"required":["stream_options"]},)"
    R"("then":{"properties":{"stream":{"const":true}},"required":["stream"]}})";

}  // namespace quire::gateway
