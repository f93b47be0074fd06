// The body of POST /v1/responses, declared (field.h): the list of all its fields. Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"
#include "gateway/api/responses/declared_items.h"

namespace quire::gateway {

// ---- reasoning ----

inline constexpr StringField kSummaries[] = {
    {.name = "summary", .max_bytes = kMaxLabelBytes, .about = "Not used: reasoning is given as it is."},
    {.name = "generate_summary", .max_bytes = kMaxLabelBytes, .about = kUnused}};
inline constexpr auto kResponseReasoningFields =
    JoinLists(std::to_array<AnyField>({kEffort}), ListOf(kSummaries));
inline constexpr DeclaredObject kResponseReasoningShape{.name = "Reasoning",
                                                        .fields = kResponseReasoningFields};
inline constexpr ObjectField kResponseReasoning{.name = "reasoning", .shape = &kResponseReasoningShape};

// ---- text ----

inline constexpr const char* kTextFormatWords[] = {"text", "json_object", "json_schema"};
inline constexpr ChoiceField kTextFormatType{.name = "type",
                                             .words = kTextFormatWords,
                                             .advice = "give text, json_object or json_schema",
                                             .required = true};
inline constexpr auto kTextFormatFields =
    JoinLists(std::to_array<AnyField>({kTextFormatType}), kNamedSchemaFields);
inline constexpr ShapeVariant kTextFormatVariants[] = {
    {.words = kPlainFormatWords}, {.words = kSchemaFormatWord, .fields = kNamedSchemaFields}};
inline constexpr DeclaredObject kTextFormatShape{.name = "TextFormat",
                                                 .fields = kTextFormatFields,
                                                 .by = &kTextFormatType,
                                                 .variants = kTextFormatVariants};
inline constexpr ObjectField kTextFormat{.name = "format", .shape = &kTextFormatShape, .or_empty = true};
inline constexpr const char* kMediumWord[] = {"medium"};
inline constexpr ChoiceField kVerbosity{.name = "verbosity",
                                        .words = kMediumWord,
                                        .advice = "leave it out",
                                        .not_yet = true,
                                        .max_bytes = kMaxLabelBytes};
inline constexpr AnyField kTextFields[] = {kVerbosity, kTextFormat};
inline constexpr DeclaredObject kTextShape{.name = "Text", .fields = kTextFields};
inline constexpr ObjectField kText{
    .name = "text", .shape = &kTextShape, .about = "The form of the answer's text."};
inline constexpr IntegerField kTopLogprobsAlone{
    .name = "top_logprobs",
    .min = 0,
    .max = 20,
    .about = "So many of the likeliest in each place, with the log-probabilities.",
    .absent = "0"};
inline constexpr ShapeField kInclude{
    .name = "include",
    .schema = R"({"type":"array"})",
    .about = "`message.output_text.logprobs`: log-probabilities beside the text; other words are not used."};

// ---- what is refused, and what changes nothing ----

inline constexpr const char* kNoState =
    "this server keeps no responses: give the whole conversation as input";
inline constexpr RefusedField kStates[] = {{.name = "previous_response_id", .advice = kNoState},
                                           {.name = "conversation", .advice = kNoState},
                                           {.name = "prompt", .advice = kNoState},
                                           {.name = "context_management", .advice = kNoState}};
inline constexpr BoolField kBackground{
    .name = "background", .about = "Not supported.", .never = "leave it out"};
inline constexpr const char* kDisabledWord[] = {"disabled"};
inline constexpr ChoiceField kTruncation{.name = "truncation",
                                         .words = kDisabledWord,
                                         .advice = "leave it out or give \"disabled\"",
                                         .not_yet = true};
inline constexpr StringField kResponseLabels[] = {kUser, kSafetyIdentifier, kPromptCacheKey,
                                                  kPromptCacheRetention, kServiceTier};
inline constexpr size_t kMaxMetadata = 16;  // as the schema says
inline constexpr ShapeField kResponseMetadata{
    .name = "metadata",
    .schema = R"({"type":"object","maxProperties":16,"propertyNames":{"maxLength":512},)"
              R"("additionalProperties":{"type":"string","maxLength":512}})",
    .about = "Given back. Strings and names of up to 512 bytes.",
    .absent = "{}"};

inline constexpr auto kResponsesFields =
    JoinLists(std::to_array<AnyField>({kModel, kInstructions, kInput, kMaxOutputTokens}), kSamplingFields,
              std::to_array<AnyField>({kStream, kInclude, kTopLogprobsAlone, kFunctions, kFunctionChoice,
                                       kParallelToolCalls, kResponseReasoning, kText}),
              ListOf(kStates), std::to_array<AnyField>({kBackground, kTruncation}), ListOf(kResponseLabels),
              std::to_array<AnyField>({kStore, kResponseMetadata}));
inline constexpr const char* kResponsesRules[] = {kToolsChosenRule};
inline constexpr DeclaredObject kResponsesShape{.name = "ResponsesRequest",
                                                .fields = kResponsesFields,
                                                .rules = kResponsesRules,
                                                .example = R"({"model":"MODEL","input":"Hello"})"};

}  // namespace quire::gateway
