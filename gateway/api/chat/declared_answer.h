// What a chat request says of its answer, declared (field.h): its reasoning, its form, what this version
// can't honour; for the doors that have the same, too. Constants; any thread.
#pragma once

#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

// ---- reasoning ----

inline constexpr BoolField kSeparateReasoning{
    .name = "separate_reasoning",
    .about = "false: reasoning is part of `content`, as the model writes it.",
    .absent = "true"};
inline constexpr BoolField kEnableThinking{
    .name = "enable_thinking", .about = "false: effort `none`. All fields that say so have to agree."};
inline constexpr BoolField kReasoningEnabled{.name = "enabled", .about = "As `enable_thinking`."};
inline constexpr IntegerField kReasoningMaxTokens{
    .name = "max_tokens",
    .min = 0,
    .max = kMostTokens,
    .about = "A budget: the end of reasoning is forced behind so many tokens. Goes before the effort's."};
inline constexpr RefusedField kReasoningSummary{.name = "summary"};
inline constexpr RefusedField kGenerateSummary{.name = "generate_summary"};
inline constexpr BoolField kExcludeReasoning{
    .name = "exclude", .about = "true: reasoning is left out of the answer, yet counted.", .absent = "false"};
inline constexpr AnyField kReasoningFields[] = {kEffort,           kReasoningEnabled, kReasoningMaxTokens,
                                                kReasoningSummary, kGenerateSummary,  kExcludeReasoning};
inline constexpr DeclaredObject kReasoningShape{.name = "ChatReasoning", .fields = kReasoningFields};
inline constexpr ObjectField kReasoning{.name = "reasoning", .shape = &kReasoningShape};
inline constexpr AnyField kTemplateFields[] = {kEnableThinking};
inline constexpr const char* kTemplateRules[] = {
    R"({"properties":{"enable_thinking":true},"additionalProperties":{"type":"null"}})"};
inline constexpr DeclaredObject kTemplateShape{
    .name = "TemplateVariables", .fields = kTemplateFields, .rules = kTemplateRules};
inline constexpr ObjectField kTemplateVariables{
    .name = "chat_template_kwargs", .shape = &kTemplateShape, .about = "Nothing but `enable_thinking`."};
inline constexpr auto kReasoningWishFields = std::to_array<AnyField>(
    {kSeparateReasoning, kReasoningEffort, kEnableThinking, kReasoning, kTemplateVariables});

// ---- response_format ----

inline constexpr const char* kFormatWords[] = {"text", "json_object", "json_schema", "regex", "grammar"};
inline constexpr ChoiceField kFormatType{.name = "type",
                                         .words = kFormatWords,
                                         .advice = "give text, json_object, json_schema, regex or grammar",
                                         .required = true};
inline constexpr DeclaredObject kNamedSchemaShape{.name = "NamedSchema", .fields = kNamedSchemaFields};
inline constexpr ObjectField kJsonSchema{.name = "json_schema",
                                         .shape = &kNamedSchemaShape,
                                         .advice = "give an object with a name and a schema",
                                         .required = true};
inline constexpr size_t kMaxSourceBytes = 64 << 10;
inline constexpr StringField kRegex{.name = "regex",
                                    .max_bytes = kMaxSourceBytes,
                                    .about = "What the text matches from end to end.",
                                    .filled = true,
                                    .required = true};
inline constexpr StringField kPattern{.name = "pattern",
                                      .max_bytes = kMaxSourceBytes,
                                      .about = "The same as `regex`, and goes before it.",
                                      .filled = true,
                                      .required = true};
inline constexpr StringField kGrammar{.name = "grammar",
                                      .max_bytes = kMaxSourceBytes,
                                      .about = "EBNF, from its rule `root`.",
                                      .filled = true,
                                      .required = true};
inline constexpr auto kFormatFields =
    std::to_array<AnyField>({kFormatType, kJsonSchema, kRegex, kPattern, kGrammar});
inline constexpr const char* kPlainFormatWords[] = {"text", "json_object"};
inline constexpr const char* kSchemaFormatWord[] = {"json_schema"};
inline constexpr const char* kRegexFormatWord[] = {"regex"};
inline constexpr const char* kGrammarFormatWord[] = {"grammar"};
inline constexpr AnyField kSchemaFormatFields[] = {kJsonSchema}, kRegexFormatFields[] = {kRegex},
                          kPatternFormatFields[] = {kPattern}, kGrammarFormatFields[] = {kGrammar};
inline constexpr ShapeVariant kFormatVariants[] = {
    {.words = kPlainFormatWords},
    {.words = kSchemaFormatWord, .fields = kSchemaFormatFields},
    {.words = kRegexFormatWord,
     .fields = kRegexFormatFields,
     .rule = R"({"properties":{"pattern":{"type":"null"}}})"},
    {.words = kRegexFormatWord, .fields = kPatternFormatFields},
    {.words = kGrammarFormatWord, .fields = kGrammarFormatFields}};
inline constexpr DeclaredObject kFormatShape{
    .name = "ResponseFormat", .fields = kFormatFields, .by = &kFormatType, .variants = kFormatVariants};
inline constexpr ObjectField kResponseFormat{
    .name = "response_format",
    .shape = &kFormatShape,
    .about = "The form of the answer's content, held to token by token.",
    .advice = "give an object with a type"};

// ---- what this version can't honour ----

inline constexpr const char* kUseFormat = "use response_format";
inline constexpr const char* kNotTrue = "leave it out or give false";
inline constexpr RefusedField kUnsupported[] = {
    // OpenAI's
    {.name = "functions", .advice = "give \"tools\" in its place"},
    {.name = "function_call",
     .advice = "give \"tool_choice\" in its place",
     .accepted = R"(["none","auto"])"},
    {.name = "modalities", .advice = "leave it out or give [\"text\"]", .accepted = R"([["text"],[]])"},
    {.name = "audio"},
    {.name = "verbosity", .advice = "leave it out or give \"medium\"", .accepted = R"(["medium"])"},
    // those of other servers
    {.name = "suffix"},
    {.name = "use_beam_search", .advice = kNotTrue, .accepted = "[false]"},
    {.name = "length_penalty", .accepted = "[1]"},
    {.name = "prompt_logprobs", .accepted = "[0,false]"},
    {.name = "truncate_prompt_tokens"},
    {.name = "allowed_token_ids", .advice = "leave it out, or use logit_bias"},
    {.name = "bad_words", .advice = "leave it out, or use logit_bias"},
    {.name = "include_stop_str_in_output", .advice = kNotTrue, .accepted = "[false]"},
    {.name = "skip_special_tokens", .advice = "leave it out or give true", .accepted = "[true]"},
    {.name = "chat_template"},
    {.name = "documents"},
    {.name = "guided_json", .advice = kUseFormat},
    {.name = "guided_regex", .advice = kUseFormat},
    {.name = "guided_choice", .advice = kUseFormat},
    {.name = "guided_grammar", .advice = kUseFormat},
    {.name = "structured_outputs", .advice = kUseFormat},
    {.name = "regex", .advice = kUseFormat},
    {.name = "ebnf", .advice = kUseFormat},
    {.name = "grammar", .advice = kUseFormat},
    {.name = "json_schema", .advice = kUseFormat},
    // An empty object asks for it, too.
    {.name = "web_search_options", .accepted = "[]"},
};
inline constexpr auto kUnsupportedFields = ListOf(kUnsupported);
// Completions have these.
inline constexpr RefusedField kChatRefused[] = {
    {.name = "best_of", .accepted = "[1]"},
    {.name = "echo", .advice = kNotTrue, .accepted = "[false]"},
};
inline constexpr auto kChatRefusedFields = ListOf(kChatRefused);

}  // namespace quire::gateway
