// The messages of a chat request, declared (field.h). Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_tools.h"
#include "gateway/api/field.h"

namespace quire::gateway {

// ---- parts of content ----

inline constexpr const char* kTextWord[] = {"text"};
inline constexpr ChoiceField kPartType{.name = "type",
                                       .words = kTextWord,
                                       .advice = "this model reads text only: give parts of type \"text\"",
                                       .required = true,
                                       .max_bytes = 0};
inline constexpr StringField kPartText{.name = "text", .required = true};
inline constexpr AnyField kTextPartFields[] = {kPartType, kPartText};
inline constexpr DeclaredObject kTextPartShape{.name = "TextPart", .fields = kTextPartFields};
inline constexpr ListField kContent{
    .name = "content",
    .item = &kTextPartShape,
    .item_advice = "give an object, as {\"type\": \"text\", \"text\": \"...\"}",
    .about =
        "A string, or parts of text, which are joined. May be absent beside `tool_calls` and in an "
        "assistant's message with reasoning.",
    .advice = "give a string or a list of text parts",
    .or_string = true};

// ---- messages ----

inline constexpr const char* kRoleWords[] = {"system", "developer", "user", "assistant", "tool"};
inline constexpr ChoiceField kRole{
    .name = "role",
    .words = kRoleWords,
    .advice = "give system, developer, user, assistant or tool",
    .about = "`developer` is `system`. A last message of the assistant is continued.",
    .required = true};
inline constexpr RefusedField kNoText[] = {
    {.name = "function_call", .advice = "give a function's call in \"tool_calls\""},
    {.name = "refusal", .advice = "leave it out, or give its text as the content"},
    {.name = "audio", .advice = "leave it out: this model reads text only"},
    {.name = "images", .advice = "leave them out: this model reads text only"},
};
// Of an earlier message it may be anything.
inline constexpr ShapeField kReasoningContent{
    .name = "reasoning_content",
    .schema = "{}",
    .about =
        "An assistant's: a string. Used in a last message that is continued; earlier reasoning is no part "
        "of a prompt."};
inline constexpr ShapeField kReasoningText{
    .name = "reasoning", .schema = "{}", .about = "The same as `reasoning_content`."};
inline constexpr StringField kMessageName{.name = "name", .max_bytes = 256, .about = "Not used."};
inline constexpr auto kMessageFields =
    JoinLists(std::to_array<AnyField>({kRole, kContent, kToolCalls, kToolCallId, kReasoningContent,
                                       kReasoningText, kMessageName}),
              ListOf(kNoText));
// Which of them go with which role.
inline constexpr const char* kMessageRules[] = {
    R"({"oneOf":[{"title":"system or user","required":["content"],"properties":{)"
    R"("role":{"enum":["system","developer","user"]},"content":{"type":["string","array"]},)"
    R"("tool_calls":{"enum":[null,"",[],{}]},"tool_call_id":{"enum":[null,"",[],{}]}}},)"
    R"({"title":"assistant","properties":{"role":{"const":"assistant"},)"
    R"("tool_call_id":{"enum":[null,"",[],{}]}},)"
    R"("anyOf":[{"required":["content"],"properties":{"content":{"type":["string","array"]}}},)"
    R"({"required":["tool_calls"],"properties":{"tool_calls":{"type":"array","minItems":1}}},)"
    R"({"required":["reasoning_content"],"properties":{"reasoning_content":{"type":"string","minLength":1}}},)"
    R"({"required":["reasoning"],"properties":{"reasoning":{"type":"string","minLength":1}}}]},)"
    R"({"title":"tool","required":["content","tool_call_id"],"properties":{"role":{"const":"tool"},)"
    R"("content":{"type":["string","array"]},"tool_calls":{"enum":[null,"",[],{}]},)"
    R"("tool_call_id":{"type":"string","minLength":1}}}]})"};
inline constexpr DeclaredObject kMessageShape{
    .name = "ChatMessage",
    .fields = kMessageFields,
    .rules = kMessageRules,
    .example = R"({"role":"user","content":"What is the capital of France?"})"};
inline constexpr ListField kMessages{.name = "messages",
                                     .item = &kMessageShape,
                                     .item_advice = "give an object with role and content",
                                     .nouns = "messages",
                                     .min_items = 1,
                                     .max_items = 10'000,
                                     .about = "The conversation. Prompt and answer must fit the context.",
                                     .required = true};

}  // namespace quire::gateway
