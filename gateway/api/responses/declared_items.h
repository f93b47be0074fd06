// The input items and the tools of a Responses request, declared (field.h). Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_tools.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

// ---- parts of text ----

inline constexpr const char* kTextPartWords[] = {"text", "input_text", "output_text"};
inline constexpr ChoiceField kItemPartType{.name = "type",
                                           .words = kTextPartWords,
                                           .advice = "this model reads text only: give parts of text",
                                           .required = true};
inline constexpr StringField kItemPartText{.name = "text", .required = true};
inline constexpr AnyField kItemPartFields[] = {kItemPartType, kItemPartText};
inline constexpr DeclaredObject kItemPartShape{.name = "TextItemPart", .fields = kItemPartFields};
inline constexpr const char* kPartAdvice = "give a part, as {\"type\": \"input_text\", \"text\": \"...\"}";
inline constexpr const char* kPartsAdvice = "give a string or a list of text parts";

// ---- items ----

inline constexpr const char* kItemWords[] = {"message", "function_call", "function_call_output", "reasoning"};
inline constexpr ChoiceField kItemType{
    .name = "type",
    .words = kItemWords,
    .advice =
        "give message, function_call, function_call_output or reasoning, each whole: nothing is kept that "
        "an item_reference could name (SDKs that send those don't with `store` false)",
    .about = "`reasoning` is no part of a prompt.",
    .absent = "\"message\""};
inline constexpr const char* kItemRoleWords[] = {"user", "assistant", "system", "developer"};
inline constexpr ChoiceField kItemRole{.name = "role",
                                       .words = kItemRoleWords,
                                       .advice = "give user, assistant, system or developer",
                                       .required = true};
inline constexpr ListField kItemContent{.name = "content",
                                        .item = &kItemPartShape,
                                        .item_advice = kPartAdvice,
                                        .advice = kPartsAdvice,
                                        .or_string = true,
                                        .required = true};
inline constexpr StringField kItemCallId{
    .name = "call_id", .max_bytes = kMaxCallIdBytes, .filled = true, .required = true};
// Where it is longer than a name may be, its form is what is told.
inline constexpr StringField kItemName{
    .name = "name", .max_bytes = 256, .pattern = kToolNamePattern, .required = true};
inline constexpr StringField kItemArguments{
    .name = "arguments", .about = "A JSON object, as a string. \"\" is {}.", .or_empty = true};
inline constexpr StringField kOutputCallId{
    .name = "call_id", .max_bytes = kMaxCallIdBytes, .about = "Of a call before it.", .required = true};
inline constexpr ListField kItemOutput{.name = "output",
                                       .item = &kItemPartShape,
                                       .item_advice = kPartAdvice,
                                       .advice = kPartsAdvice,
                                       .or_string = true,
                                       .required = true};
inline constexpr AnyField kMessageItemFields[] = {kItemRole, kItemContent},
                          kCallItemFields[] = {kItemCallId, kItemName, kItemArguments},
                          kOutputItemFields[] = {kOutputCallId, kItemOutput};
inline constexpr auto kItemFields = std::to_array<AnyField>(
    {kItemType, kItemRole, kItemContent, kItemCallId, kItemName, kItemArguments, kOutputCallId, kItemOutput});
inline constexpr const char* kMessageItemWord[] = {"message"};
inline constexpr const char* kCallItemWord[] = {"function_call"};
inline constexpr const char* kOutputItemWord[] = {"function_call_output"};
inline constexpr const char* kReasoningItemWord[] = {"reasoning"};
inline constexpr ShapeVariant kItemVariants[] = {{.words = kMessageItemWord, .fields = kMessageItemFields},
                                                 {.words = kCallItemWord, .fields = kCallItemFields},
                                                 {.words = kOutputItemWord, .fields = kOutputItemFields},
                                                 {.words = kReasoningItemWord}};
inline constexpr DeclaredObject kItemShape{.name = "InputItem",
                                           .fields = kItemFields,
                                           .by = &kItemType,
                                           .variants = kItemVariants,
                                           .example = R"({"role":"user","content":"Hello"})"};
inline constexpr ListField kInput{
    .name = "input",
    .item = &kItemShape,
    .item_advice = "give an item, as {\"role\": \"user\", \"content\": \"...\"}",
    .nouns = "items",
    .min_items = 1,
    .max_items = 10'000,
    .about = "The whole conversation: nothing is kept.",
    .or_string = true,
    .required = true};
inline constexpr StringField kInstructions{
    .name = "instructions", .max_bytes = 8 << 20, .about = "The system prompt."};

// ---- tools ----

inline constexpr ChoiceField kFunctionType{
    .name = "type",
    .words = kFunctionWord,
    .advice = "give tools of the type \"function\", which the client runs",
    .required = true,
    .not_yet = true};
// Where it is longer than a name may be, its form is what is told.
inline constexpr StringField kFunctionName{
    .name = "name", .max_bytes = kMaxLabelBytes, .pattern = kToolNamePattern, .required = true};
inline constexpr AnyField kFunctionFields[] = {kFunctionType, kFunctionName, kToolDescription,
                                               kToolParameters, kToolStrict};
inline constexpr DeclaredObject kFunctionShape{.name = "FunctionTool", .fields = kFunctionFields};
inline constexpr ListField kFunctions{.name = "tools",
                                      .item = &kFunctionShape,
                                      .item_advice = "give an object with type and name",
                                      .nouns = "tools",
                                      .max_items = kMaxTools,
                                      .about = "What the model may call. Names differ."};
inline constexpr ChoiceField kFunctionChoiceType{.name = "type",
                                                 .words = kFunctionWord,
                                                 .advice = "give \"function\" and a name",
                                                 .required = true,
                                                 .not_yet = true};
inline constexpr StringField kFunctionChoiceName{
    .name = "name", .max_bytes = kMaxLabelBytes, .about = "Of a tool.", .required = true};
inline constexpr AnyField kFunctionChoiceFields[] = {kFunctionChoiceType, kFunctionChoiceName};
inline constexpr DeclaredObject kFunctionChoiceShape{.name = "FunctionChoice",
                                                     .fields = kFunctionChoiceFields};
inline constexpr ChoiceField kFunctionChoice = ToolChoiceOf(kFunctionChoiceShape);

}  // namespace quire::gateway
