// The bodies of POST /tokenize, /detokenize and /apply-template, declared (field.h). Constants; any thread.
#pragma once

#include "gateway/api/chat/declared_chat.h"
#include "gateway/api/field.h"

namespace quire::gateway {

inline constexpr BoolField kGenerationPrompt{
    .name = "add_generation_prompt",
    .about = "false: no answer is to begin; a last assistant message is as closed as the others.",
    .absent = "true"};
inline constexpr BoolField kTokenStrings{
    .name = "return_token_strs", .about = "The text of each token, too.", .absent = "false"};
inline constexpr ListField kConversation{.name = "messages",
                                         .item = &kMessageShape,
                                         .item_advice = "",
                                         .about = "A conversation, in place of `prompt`."};

// ---- a text ----

inline constexpr StringField kTextToTokenize{
    .name = "prompt", .about = "Read as a completion's.", .required = true};
inline constexpr BoolField kStartToken{
    .name = "add_special_tokens",
    .about = "Before the text, the start token that the checkpoint's tokenizer puts there, if any.",
    .absent = "true"};
inline constexpr AnyField kTokenizeTextFields[] = {kModel, kTextToTokenize, kStartToken, kTokenStrings,
                                                   kConversation};
inline constexpr const char* kTokenizeTextRules[] = {R"({"properties":{"messages":{"type":"null"}}})"};
inline constexpr DeclaredObject kTokenizeTextShape{.name = "TokenizeTextRequest",
                                                   .fields = kTokenizeTextFields,
                                                   .rules = kTokenizeTextRules,
                                                   .example = R"({"model":"MODEL","prompt":"Hello world"})"};

// ---- a conversation ----

inline constexpr BoolField kChatStartToken{
    .name = "add_special_tokens",
    .about = "Before the chat's ids, the start token that the checkpoint's tokenizer puts there, if any.",
    .absent = "false"};
inline constexpr RefusedField kNotBoth{
    .name = "prompt", .advice = "give it or messages, not both", .accepted = "[]", .not_yet = false};
inline constexpr auto kTokenizeChatFields = JoinLists(
    kChatFields, std::to_array<AnyField>({kGenerationPrompt, kChatStartToken, kTokenStrings, kNotBoth}));
inline constexpr DeclaredObject kTokenizeChatShape{
    .name = "TokenizeChatRequest",
    .fields = kTokenizeChatFields,
    .rules = kChatRules,
    .example = R"({"model":"MODEL","messages":[{"role":"user","content":"Hello"}]})"};
inline constexpr auto kTemplateChatFields =
    JoinLists(kChatFields, std::to_array<AnyField>({kGenerationPrompt}));
inline constexpr DeclaredObject kApplyTemplateShape{
    .name = "ApplyTemplateRequest",
    .fields = kTemplateChatFields,
    .rules = kChatRules,
    .example = R"({"model":"MODEL","messages":[{"role":"user","content":"Hello"}]})"};

// ---- ids ----

inline constexpr TokenIdsField kTokens{
    .name = "tokens", .about = "At most as many as the model's context has.", .required = true};
inline constexpr AnyField kDetokenizeFields[] = {kModel, kTokens};
inline constexpr DeclaredObject kDetokenizeShape{.name = "DetokenizeRequest",
                                                 .fields = kDetokenizeFields,
                                                 .example = R"({"model":"MODEL","tokens":[1,2,3]})"};

}  // namespace quire::gateway
