// The messages of POST /v1/messages, declared (field.h): their blocks, and the tools. Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_tools.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

// Here and on any block and tool.
inline constexpr ShapeField kCacheControl{
    .name = "cache_control",
    .schema = "{}",
    .about = "Prompts are cached by themselves; this says only how usage tells of it."};
inline constexpr const char* kTextOnly = "this model reads text only: leave it out, or say it in words";
inline constexpr const char* kNoSuchBlock =
    "give text, thinking or tool_use: other blocks can't be read here";

inline constexpr const char* kTextBlockWord[] = {"text"};
inline constexpr const char* kToolUseNamePattern = "^[a-zA-Z0-9_-]{1,128}$";
inline constexpr size_t kMaxToolUseNameBytes = 128;
inline constexpr const char* kToolUseNameForm = "give 1 to 128 letters, digits, _ or -";

// ---- blocks of text alone ----

inline constexpr ChoiceField kTextBlockType{
    .name = "type", .words = kTextBlockWord, .advice = kTextOnly, .required = true};
inline constexpr StringField kBlockText{.name = "text", .required = true};
inline constexpr AnyField kTextBlockFields[] = {kTextBlockType, kBlockText, kCacheControl};
inline constexpr DeclaredObject kTextBlockShape{.name = "TextBlock", .fields = kTextBlockFields};
inline constexpr const char* kBlockAdvice = "give a block, as {\"type\": \"text\", \"text\": \"...\"}";
inline constexpr const char* kTextBlocksAdvice = "give a string or a list of text blocks";

// ---- blocks of the user ----

inline constexpr const char* kUserBlockWords[] = {"text", "tool_result"};
inline constexpr ChoiceField kUserBlockType{
    .name = "type", .words = kUserBlockWords, .advice = kTextOnly, .required = true};
inline constexpr StringField kToolUseId{.name = "tool_use_id",
                                        .max_bytes = kMaxCallIdBytes,
                                        .about = "Of a call of the message before.",
                                        .required = true};
inline constexpr BoolField kIsError{.name = "is_error", .about = "Its text gets `Error: ` in front."};
inline constexpr ListField kResultContent{.name = "content",
                                          .item = &kTextBlockShape,
                                          .item_advice = kBlockAdvice,
                                          .advice = kTextBlocksAdvice,
                                          .or_string = true};
inline constexpr AnyField kUserTextFields[] = {kBlockText};
inline constexpr AnyField kToolResultFields[] = {kToolUseId, kIsError, kResultContent};
inline constexpr auto kUserBlockFields = std::to_array<AnyField>(
    {kUserBlockType, kCacheControl, kBlockText, kToolUseId, kIsError, kResultContent});
inline constexpr const char* kToolResultWord[] = {"tool_result"};
inline constexpr ShapeVariant kUserBlockVariants[] = {
    {.words = kTextBlockWord, .fields = kUserTextFields},
    {.words = kToolResultWord, .fields = kToolResultFields}};
inline constexpr DeclaredObject kUserBlockShape{
    .name = "UserBlock", .fields = kUserBlockFields, .by = &kUserBlockType, .variants = kUserBlockVariants};
inline constexpr ListField kUserContent{.name = "content",
                                        .item = &kUserBlockShape,
                                        .item_advice = kBlockAdvice,
                                        .advice = kTextBlocksAdvice,
                                        .or_string = true,
                                        .required = true};

// ---- blocks of an answer ----

inline constexpr const char* kAnswerBlockWords[] = {"text", "thinking", "redacted_thinking", "tool_use"};
inline constexpr ChoiceField kAnswerBlockType{
    .name = "type", .words = kAnswerBlockWords, .advice = kNoSuchBlock, .required = true};
inline constexpr StringField kThinkingText{.name = "thinking", .required = true};
inline constexpr StringField kToolUseCallId{
    .name = "id", .max_bytes = kMaxCallIdBytes, .filled = true, .required = true};
inline constexpr StringField kToolUseName{
    .name = "name", .max_bytes = kMaxToolUseNameBytes, .pattern = kToolUseNamePattern, .required = true};
inline constexpr ShapeField kToolUseInput{
    .name = "input", .schema = R"({"type":"object"})", .required = true};
inline constexpr AnyField kAnswerTextFields[] = {kBlockText}, kThinkingFields[] = {kThinkingText},
                          kToolUseFields[] = {kToolUseCallId, kToolUseName, kToolUseInput};
inline constexpr auto kAnswerBlockFields =
    std::to_array<AnyField>({kAnswerBlockType, kCacheControl, kBlockText, kThinkingText, kToolUseCallId,
                             kToolUseName, kToolUseInput});
inline constexpr const char* kThinkingWord[] = {"thinking"};
inline constexpr const char* kRedactedWord[] = {"redacted_thinking"};
inline constexpr const char* kToolUseWord[] = {"tool_use"};
inline constexpr ShapeVariant kAnswerBlockVariants[] = {
    {.words = kTextBlockWord, .fields = kAnswerTextFields},
    {.words = kThinkingWord, .fields = kThinkingFields},
    {.words = kRedactedWord},
    {.words = kToolUseWord, .fields = kToolUseFields}};
inline constexpr DeclaredObject kAnswerBlockShape{.name = "AnswerBlock",
                                                  .fields = kAnswerBlockFields,
                                                  .by = &kAnswerBlockType,
                                                  .variants = kAnswerBlockVariants};
inline constexpr ListField kAnswerContent{.name = "content",
                                          .item = &kAnswerBlockShape,
                                          .item_advice = kBlockAdvice,
                                          .advice = kTextBlocksAdvice,
                                          .or_string = true,
                                          .required = true};

// ---- messages ----

inline constexpr ListField kSystemContent{.name = "content",
                                          .item = &kTextBlockShape,
                                          .item_advice = kBlockAdvice,
                                          .advice = kTextBlocksAdvice,
                                          .or_string = true,
                                          .required = true};
inline constexpr const char* kSpeakerWords[] = {"user", "assistant", "system"};
inline constexpr ChoiceField kSpeaker{
    .name = "role", .words = kSpeakerWords, .advice = "give user, assistant or system", .required = true};
inline constexpr auto kSpokenFields =
    std::to_array<AnyField>({kSpeaker, kUserContent, kAnswerContent, kSystemContent});
inline constexpr const char* kUserWord[] = {"user"};
inline constexpr const char* kAssistantWord[] = {"assistant"};
inline constexpr const char* kSystemWord[] = {"system"};
inline constexpr AnyField kOfUser[] = {kUserContent}, kOfAssistant[] = {kAnswerContent},
                          kOfSystem[] = {kSystemContent};
inline constexpr ShapeVariant kSpokenVariants[] = {{.words = kUserWord, .fields = kOfUser},
                                                   {.words = kAssistantWord, .fields = kOfAssistant},
                                                   {.words = kSystemWord, .fields = kOfSystem}};
inline constexpr DeclaredObject kSpokenShape{.name = "Message",
                                             .fields = kSpokenFields,
                                             .by = &kSpeaker,
                                             .variants = kSpokenVariants,
                                             .example = R"({"role":"user","content":"Hello"})"};
inline constexpr ListField kSpokenMessages{.name = "messages",
                                           .item = &kSpokenShape,
                                           .item_advice = "give an object with role and content",
                                           .nouns = "messages",
                                           .min_items = 1,
                                           .max_items = 10'000,
                                           .about = "Messages of one role in a row are one.",
                                           .required = true};
inline constexpr ListField kSystem{.name = "system",
                                   .item = &kTextBlockShape,
                                   .item_advice = kBlockAdvice,
                                   .about = "The system prompt.",
                                   .advice = kTextBlocksAdvice,
                                   .or_string = true};

// ---- tools ----

inline constexpr const char* kCustomWord[] = {"custom"};
inline constexpr ChoiceField kCustomType{
    .name = "type",
    .words = kCustomWord,
    .advice = "give tools that the client runs: of type \"custom\", or without one",
    .not_yet = true};
inline constexpr ShapeField kInputSchema{
    .name = "input_schema",
    .schema = R"({"type":"object","properties":{"type":{"const":"object"}}})",
    .about = "A JSON schema of an object, up to 256 KiB as JSON, and 1 MiB of all tools together.",
    .required = true};
inline constexpr AnyField kCustomToolFields[] = {kCacheControl,    kCustomType,  kToolUseName,
                                                 kToolDescription, kInputSchema, kToolStrict};
inline constexpr DeclaredObject kCustomToolShape{.name = "CustomTool", .fields = kCustomToolFields};
inline constexpr ListField kCustomTools{.name = "tools",
                                        .item = &kCustomToolShape,
                                        .item_advice = "give an object with name and input_schema",
                                        .nouns = "tools",
                                        .max_items = kMaxTools,
                                        .about = "What the model may call. Names differ."};
inline constexpr const char* kUseWords[] = {"auto", "any", "tool", "none"};
inline constexpr ChoiceField kUse{
    .name = "type", .words = kUseWords, .advice = "give auto, any, tool or none", .required = true};
inline constexpr BoolField kOneUse{.name = "disable_parallel_tool_use",
                                   .about = "true: an answer ends behind its first whole call.",
                                   .absent = "false"};
inline constexpr StringField kUsedName{
    .name = "name", .max_bytes = kMaxToolUseNameBytes, .about = "Of a tool.", .required = true};
inline constexpr AnyField kUseChoiceFields[] = {kUse, kOneUse, kUsedName}, kNamedUseFields[] = {kUsedName};
inline constexpr const char* kAnyUseWords[] = {"auto", "any", "none"};
inline constexpr const char* kNamedUseWord[] = {"tool"};
inline constexpr ShapeVariant kUseVariants[] = {{.words = kAnyUseWords},
                                                {.words = kNamedUseWord, .fields = kNamedUseFields}};
inline constexpr DeclaredObject kUseShape{
    .name = "ToolUse", .fields = kUseChoiceFields, .by = &kUse, .variants = kUseVariants};
inline constexpr ObjectField kUseChoice{.name = "tool_choice",
                                        .shape = &kUseShape,
                                        .about = "any and tool go with tools only.",
                                        .advice = "give an object, as {\"type\": \"auto\"}"};

}  // namespace quire::gateway
