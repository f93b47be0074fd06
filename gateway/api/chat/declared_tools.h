// The tools of a chat request and the calls of its messages, declared (field.h), and what a tool's name may
// be, for every door that has tools. Constants; any thread.
#pragma once

#include "gateway/api/field.h"

namespace quire::gateway {

inline constexpr size_t kMaxTools = 128;
inline constexpr size_t kMaxToolDescriptionBytes = 64 << 10;

// 1 to 64 of letters, digits, _ and -.
inline constexpr const char* kToolNameAdvice = "give 1 to 64 letters, digits, _ or -";
inline constexpr const char* kToolNamePattern = "^[a-zA-Z0-9_-]{1,64}$";
inline constexpr StringField kToolName{
    .name = "name", .max_bytes = 64, .pattern = kToolNamePattern, .required = true};
inline constexpr StringField kToolDescription{
    .name = "description", .max_bytes = kMaxToolDescriptionBytes, .about = "For the model."};
inline constexpr BoolField kToolStrict{
    .name = "strict",
    .about =
        "true: a schema that arguments can't be held to is refused; false: they are any object. Absent: "
        "what can't be enforced is let be."};
inline constexpr ShapeField kToolParameters{
    .name = "parameters",
    .schema = R"({"type":"object"})",
    .about = "A JSON schema of an object, up to 256 KiB as JSON, and 1 MiB of all tools together.",
    .absent = "{}"};

// ---- tools ----

inline constexpr AnyField kToolFunctionFields[] = {kToolName, kToolDescription, kToolParameters, kToolStrict};
inline constexpr DeclaredObject kToolFunctionShape{.name = "ToolFunction", .fields = kToolFunctionFields};
inline constexpr ObjectField kToolFunction{
    .name = "function", .shape = &kToolFunctionShape, .required = true};
inline constexpr const char* kFunctionWord[] = {"function"};
inline constexpr ChoiceField kToolType{.name = "type",
                                       .words = kFunctionWord,
                                       .advice = "only tools of the type \"function\" are known",
                                       .absent = "\"function\""};
inline constexpr AnyField kToolFields[] = {kToolType, kToolFunction};
inline constexpr DeclaredObject kToolShape{.name = "Tool", .fields = kToolFields};
inline constexpr ListField kTools{
    .name = "tools",
    .item = &kToolShape,
    .item_advice = "give an object, as {\"type\": \"function\", \"function\": {\"name\": \"...\"}}",
    .nouns = "tools",
    .max_items = kMaxTools,
    .about = "What the model may call. Names differ."};

// ---- tool_choice ----

inline constexpr StringField kChosenName{.name = "name", .max_bytes = 64, .required = true};
inline constexpr AnyField kChosenFunctionFields[] = {kChosenName};
inline constexpr DeclaredObject kChosenFunctionShape{.name = "ChosenFunction",
                                                     .fields = kChosenFunctionFields};
inline constexpr ObjectField kChosenFunction{
    .name = "function", .shape = &kChosenFunctionShape, .required = true};
inline constexpr ChoiceField kChosenType{
    .name = "type",
    .words = kFunctionWord,
    .advice = "give \"function\" with a name, or \"none\", \"auto\" or \"required\" alone",
    .required = true};
inline constexpr AnyField kNamedChoiceFields[] = {kChosenType, kChosenFunction};
inline constexpr DeclaredObject kNamedChoiceShape{.name = "NamedToolChoice", .fields = kNamedChoiceFields};
inline constexpr const char* kToolChoiceWords[] = {"none", "auto", "required"};
// `named`: the shape of one that names a tool.
constexpr ChoiceField ToolChoiceOf(const DeclaredObject& named) {
  return {.name = "tool_choice",
          .words = kToolChoiceWords,
          .advice = "give \"none\", \"auto\", \"required\" or a named function",
          .about = "`required` and a name go with tools only.",
          .absent = "\"auto\"",
          .max_bytes = 0,
          .or_object = &named};
}
inline constexpr ChoiceField kToolChoice = ToolChoiceOf(kNamedChoiceShape);
inline constexpr const char* kToolsChosenRule =
    R"({"if":{"properties":{"tool_choice":{"anyOf":[{"const":"required"},{"type":"object"}]}},)"
    R"("required":["tool_choice"]},"then":{"properties":{"tools":{"type":"array","minItems":1}},)"
    R"("required":["tools"]}})";
inline constexpr BoolField kParallelToolCalls{.name = "parallel_tool_calls",
                                              .about = "false: an answer ends behind its first whole call.",
                                              .absent = "true"};

// ---- calls, in a conversation ----

inline constexpr StringField kCallName{
    .name = "name", .max_bytes = 64, .pattern = kToolNamePattern, .required = true};
inline constexpr ShapeField kCallArguments{
    .name = "arguments",
    .schema = R"({"type":["string","object"]})",
    .about = "A JSON object, as a string. \"\" is {}; of a key given twice the last value counts."};
inline constexpr AnyField kCalledFunctionFields[] = {kCallName, kCallArguments};
inline constexpr DeclaredObject kCalledFunctionShape{.name = "CalledFunction",
                                                     .fields = kCalledFunctionFields};
inline constexpr size_t kMaxCallIdBytes = 256;
inline constexpr StringField kCallId{
    .name = "id", .max_bytes = kMaxCallIdBytes, .filled = true, .required = true};
inline constexpr ChoiceField kCallType{.name = "type",
                                       .words = kFunctionWord,
                                       .advice = "only tool calls of the type \"function\" are known",
                                       .absent = "\"function\""};
inline constexpr ObjectField kCallFunction{.name = "function",
                                           .shape = &kCalledFunctionShape,
                                           .advice = "give an object with name and arguments",
                                           .required = true};
inline constexpr AnyField kCallFields[] = {kCallId, kCallType, kCallFunction};
inline constexpr DeclaredObject kCallShape{.name = "ToolCall", .fields = kCallFields};
inline constexpr ListField kToolCalls{
    .name = "tool_calls",
    .item = &kCallShape,
    .item_advice = "give an object with id, type and function",
    .nouns = "tool calls",
    .max_items = kMaxTools,
    .about =
        "An assistant's, but not in the last message. Each has one result, in the messages right behind.",
    .or_empty = true};
inline constexpr StringField kToolCallId{
    .name = "tool_call_id",
    .max_bytes = kMaxCallIdBytes,
    .about = "A tool's: the call, of the assistant's message before, that this is the result of.",
    .or_empty = true};

}  // namespace quire::gateway
