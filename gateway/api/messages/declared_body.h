// The bodies of POST /v1/messages and of its count_tokens, declared (field.h): the lists of all their fields.
// Constants; any thread.
#pragma once

#include "gateway/api/field.h"
#include "gateway/api/messages/declared_blocks.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

inline constexpr StopsField kStopSequences{
    .name = "stop_sequences", .max_items = kMaxStops, .max_bytes = 1024, .about = "With `stop`, up to 16."};

// ---- thinking ----

inline constexpr const char* kThinkingTypes[] = {"enabled", "disabled", "adaptive"};
inline constexpr ChoiceField kThinkingType{.name = "type",
                                           .words = kThinkingTypes,
                                           .advice = "give enabled, disabled or adaptive",
                                           .required = true,
                                           .max_bytes = kMaxLabelBytes};
inline constexpr IntegerField kBudget{.name = "budget_tokens",
                                      .min = 1,
                                      .max = kMostTokens,
                                      .about = "Tokens of thinking; less than `max_tokens`.",
                                      .required = true};
inline constexpr const char* kDisplayWords[] = {"summarized", "omitted"};
inline constexpr ChoiceField kDisplay{.name = "display",
                                      .words = kDisplayWords,
                                      .advice = "give summarized or omitted",
                                      .absent = "\"summarized\"",
                                      .max_bytes = kMaxLabelBytes};
inline constexpr AnyField kThinkingWishFields[] = {kThinkingType, kBudget, kDisplay};
inline constexpr AnyField kBudgetFields[] = {kBudget};
inline constexpr const char* kEnabledWord[] = {"enabled"};
inline constexpr const char* kNotEnabledWords[] = {"disabled", "adaptive"};
inline constexpr ShapeVariant kThinkingVariants[] = {{.words = kEnabledWord, .fields = kBudgetFields},
                                                     {.words = kNotEnabledWords}};
inline constexpr DeclaredObject kThinkingShape{
    .name = "Thinking", .fields = kThinkingWishFields, .by = &kThinkingType, .variants = kThinkingVariants};
inline constexpr ObjectField kThinking{
    .name = "thinking", .shape = &kThinkingShape, .about = "Absent, or adaptive: the template's."};

// ---- the form of the answer ----

inline constexpr const char* kJsonSchemaWord[] = {"json_schema"};
inline constexpr ChoiceField kOutputType{.name = "type",
                                         .words = kJsonSchemaWord,
                                         .advice = "give json_schema",
                                         .required = true,
                                         .max_bytes = kMaxLabelBytes};
inline constexpr AnyField kOutputFields[] = {kOutputType, kSchema};
inline constexpr DeclaredObject kOutputShape{.name = "OutputFormat", .fields = kOutputFields};
inline constexpr ObjectField kOutputFormat{.name = "output_format",
                                           .shape = &kOutputShape,
                                           .about = "The older name of `output_config.format`.",
                                           .or_empty = true};
inline constexpr ObjectField kFormat{.name = "format", .shape = &kOutputShape, .or_empty = true};
inline constexpr const char* kOutputEfforts[] = {"low", "medium", "high", "xhigh", "max"};
inline constexpr ChoiceField kOutputEffort{.name = "effort",
                                           .words = kOutputEfforts,
                                           .advice = "give low, medium, high, xhigh or max",
                                           .about = "All alike.",
                                           .max_bytes = kMaxLabelBytes};
inline constexpr AnyField kOutputConfigFields[] = {kOutputEffort, kFormat};
inline constexpr DeclaredObject kOutputConfigShape{.name = "OutputConfig", .fields = kOutputConfigFields};
inline constexpr ObjectField kOutputConfig{.name = "output_config", .shape = &kOutputConfigShape};

// ---- what changes nothing, and what is refused ----

inline constexpr ShapeField kEdits{
    .name = "edits",
    .schema = R"({"anyOf":[{"enum":["",{}]},{"type":"array","items":{"type":"object","required":["type"],)"
              R"("properties":{"type":{"type":"string","pattern":"^clear_thinking_"}}}}]})",
    .about = "Of the type clear_thinking, which is what happens anyway."};
inline constexpr AnyField kContextManagementFields[] = {kEdits};
inline constexpr DeclaredObject kContextManagementShape{.name = "ContextManagement",
                                                        .fields = kContextManagementFields};
inline constexpr ObjectField kContextManagement{.name = "context_management",
                                                .shape = &kContextManagementShape};
inline constexpr StringField kUserId{.name = "user_id", .max_bytes = 4096, .about = kUnused};
inline constexpr AnyField kUserMetadataFields[] = {kUserId};
inline constexpr DeclaredObject kUserMetadataShape{.name = "UserMetadata", .fields = kUserMetadataFields};
inline constexpr ObjectField kUserMetadata{.name = "metadata", .shape = &kUserMetadataShape};
inline constexpr StringField kMessagesLabels[] = {
    {.name = "service_tier", .max_bytes = kMaxLabelBytes, .about = kUnused},
    {.name = "inference_geo", .max_bytes = kMaxLabelBytes, .about = kUnused},
    {.name = "speed", .max_bytes = kMaxLabelBytes, .about = kUnused}};
inline constexpr RefusedField kNotServed[] = {
    {.name = "container"}, {.name = "mcp_servers"}, {.name = "compaction"}, {.name = "thread"}};

// ---- the bodies ----

inline constexpr auto kMessagesCommonFields =
    JoinLists(std::to_array<AnyField>({kModel, kCacheControl, kSystem, kSpokenMessages}), kSamplingFields,
              std::to_array<AnyField>({kStopSequences, kStream, kCustomTools, kUseChoice, kThinking,
                                       kOutputFormat, kOutputConfig, kContextManagement}),
              ListOf(kNotServed), ListOf(kMessagesLabels), std::to_array<AnyField>({kUserMetadata}));
inline constexpr auto kMessagesFields =
    JoinLists(kMessagesCommonFields, std::to_array<AnyField>({kRequiredMaxTokens}));
inline constexpr auto kCountFields = JoinLists(kMessagesCommonFields, std::to_array<AnyField>({kMaxTokens}));
inline constexpr const char* kMessagesRules[] = {
    R"({"if":{"properties":{"tool_choice":{"type":"object","properties":{"type":{"enum":["any","tool"]}},)"
    R"("required":["type"]}},"required":["tool_choice"]},)"
    R"("then":{"properties":{"tools":{"type":"array","minItems":1}},"required":["tools"]}})"};
inline constexpr DeclaredObject kMessagesShape{
    .name = "MessagesRequest",
    .fields = kMessagesFields,
    .rules = kMessagesRules,
    .example = R"({"model":"MODEL","max_tokens":256,"messages":[{"role":"user","content":"Hello"}]})"};
inline constexpr DeclaredObject kCountShape{
    .name = "CountTokensRequest",
    .fields = kCountFields,
    .rules = kMessagesRules,
    .example = R"({"model":"MODEL","messages":[{"role":"user","content":"Hello"}]})"};

}  // namespace quire::gateway
