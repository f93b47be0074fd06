#include "gateway/api/openapi/operations.h"

#include "gateway/api/chat/declared_chat.h"
#include "gateway/api/completions/declared_completion.h"
#include "gateway/api/inference/declared_inference.h"
#include "gateway/api/inference/inference_answers.h"
#include "gateway/api/messages/declared_body.h"
#include "gateway/api/responses/declared_responses.h"
#include "gateway/api/text/declared_text.h"

namespace quire::gateway {
namespace {

// Of a door that generates, of one that a model's files answer, of the list of models and of one of them.
// What a path that speaks Anthropic's words says of a field is a 400.
constexpr int kGenerating[] = {400, 401, 402, 404, 408, 413, 415, 422, 429, 500, 503};
constexpr int kTelling[] = {400, 401, 404, 408, 413, 415, 422, 429, 500, 503};
constexpr int kMessagesGenerating[] = {400, 401, 402, 404, 408, 413, 415, 429, 500, 503};
constexpr int kMessagesTelling[] = {400, 401, 404, 408, 413, 415, 429, 500, 503};
constexpr int kListing[] = {400, 401, 408, 500, 503};
constexpr int kFinding[] = {400, 401, 404, 408, 500, 503};
constexpr int kOpen[] = {400, 408, 500, 503};

constexpr const DeclaredObject* kChatBodies[] = {&kChatShape};
constexpr const DeclaredObject* kCompletionBodies[] = {&kCompletionShape};
constexpr const DeclaredObject* kInferenceBodies[] = {&kInferenceShape};
constexpr const DeclaredObject* kResponsesBodies[] = {&kResponsesShape};
constexpr const DeclaredObject* kMessagesBodies[] = {&kMessagesShape};
constexpr const DeclaredObject* kCountBodies[] = {&kCountShape};
constexpr const DeclaredObject* kTokenizeBodies[] = {&kTokenizeTextShape, &kTokenizeChatShape};
constexpr const DeclaredObject* kDetokenizeBodies[] = {&kDetokenizeShape};
constexpr const DeclaredObject* kTemplateBodies[] = {&kApplyTemplateShape};

constexpr const char* kChatAliases[] = {"/v1/openai/chat/completions"};
constexpr const char* kCompletionAliases[] = {"/v1/openai/completions"};
constexpr const char* kInferenceAliases[] = {"/v1/openai/inference/{model}"};
constexpr const char* kSecretAliases[] = {"/v1/openai/webhook-secret"};
constexpr const char* kResponsesAliases[] = {"/v1/openai/responses"};
constexpr const char* kMessagesAliases[] = {"/anthropic/v1/messages"};
constexpr const char* kCountAliases[] = {"/anthropic/v1/messages/count_tokens"};
constexpr const char* kModelsAliases[] = {"/v1/openai/models"};
constexpr const char* kModelAliases[] = {"/v1/openai/models/{model}"};
constexpr const char* kStatusAliases[] = {"/v1/openai/status/{model}"};
constexpr const char* kTokenizeAliases[] = {"/tokenize", "/v1/openai/tokenize"};
constexpr const char* kDetokenizeAliases[] = {"/detokenize", "/v1/openai/detokenize"};
constexpr const char* kTemplateAliases[] = {"/apply-template", "/v1/openai/apply-template"};

constexpr OperationRow kRows[] = {
    {.operation = Operation::kChat,
     .method = "POST",
     .path = "/v1/chat/completions",
     .aliases = kChatAliases,
     .id = "createChatCompletion",
     .summary = "A conversation in, the next message out",
     .bodies = kChatBodies,
     .answer = "ChatCompletion",
     .events = "ChatEvent",
     .says_done = true,
     .errors = kGenerating},
    {.operation = Operation::kCompletion,
     .method = "POST",
     .path = "/v1/completions",
     .aliases = kCompletionAliases,
     .id = "createCompletion",
     .summary = "A text, or several, which the model goes on with as they are",
     .bodies = kCompletionBodies,
     .answer = "Completion",
     .events = "CompletionEvent",
     .says_done = true,
     .errors = kGenerating},
    {.operation = Operation::kInference,
     .method = "POST",
     .path = "/v1/inference/{model}",
     .aliases = kInferenceAliases,
     .id = "createInference",
     .summary = "The same for one text, in the hosted original's own form",
     .bodies = kInferenceBodies,
     .answer = "InferenceAnswer",
     .events = "InferenceEvent",
     .errors = kGenerating,
     .callbacks = InferenceCallbacks},
    {.operation = Operation::kWebhookSecret,
     .method = "GET",
     .path = "/v1/webhook-secret",
     .aliases = kSecretAliases,
     .id = "getWebhookSecret",
     .summary = "What this key's webhooks are signed with",
     .answer = "WebhookSecret",
     .errors = kListing},
    {.operation = Operation::kResponse,
     .method = "POST",
     .path = "/v1/responses",
     .aliases = kResponsesAliases,
     .id = "createResponse",
     .summary = "A conversation in the form of OpenAI's Responses API, without its state",
     .bodies = kResponsesBodies,
     .answer = "Response",
     .events = "ResponseEvent",
     .errors = kGenerating},
    {.operation = Operation::kMessage,
     .method = "POST",
     .path = "/v1/messages",
     .aliases = kMessagesAliases,
     .id = "createMessage",
     .summary = "A conversation in the form of Anthropic's API",
     .bodies = kMessagesBodies,
     .answer = "MessageAnswer",
     .events = "MessageEvent",
     .errors = kMessagesGenerating,
     .is_messages = true},
    {.operation = Operation::kCountTokens,
     .method = "POST",
     .path = "/v1/messages/count_tokens",
     .aliases = kCountAliases,
     .id = "countTokens",
     .summary = "How many tokens a message's prompt has; costs nothing",
     .bodies = kCountBodies,
     .answer = "TokenCount",
     .errors = kMessagesTelling,
     .is_messages = true},
    {.operation = Operation::kListModels,
     .method = "GET",
     .path = "/v1/models",
     .aliases = kModelsAliases,
     .id = "listModels",
     .summary = "The models that this key may use",
     .answer = "ModelList",
     .errors = kListing},
    {.operation = Operation::kGetModel,
     .method = "GET",
     .path = "/v1/models/{model}",
     .aliases = kModelAliases,
     .id = "getModel",
     .summary = "One of them",
     .answer = "Model",
     .errors = kFinding},
    {.operation = Operation::kModelStatus,
     .method = "GET",
     .path = "/v1/status/{model}",
     .aliases = kStatusAliases,
     .id = "getModelStatus",
     .summary = "How it is doing just now, as this gateway sees it",
     .answer = "ModelStatus",
     .errors = kFinding},
    {.operation = Operation::kTokenize,
     .method = "POST",
     .path = "/v1/tokenize",
     .aliases = kTokenizeAliases,
     .id = "tokenize",
     .summary = "The token ids of a text or of a conversation",
     .bodies = kTokenizeBodies,
     .answer = "Tokens",
     .errors = kTelling},
    {.operation = Operation::kDetokenize,
     .method = "POST",
     .path = "/v1/detokenize",
     .aliases = kDetokenizeAliases,
     .id = "detokenize",
     .summary = "The text of token ids, special tokens' too",
     .bodies = kDetokenizeBodies,
     .answer = "PromptText",
     .errors = kTelling},
    {.operation = Operation::kApplyTemplate,
     .method = "POST",
     .path = "/v1/apply-template",
     .aliases = kTemplateAliases,
     .id = "applyTemplate",
     .summary = "A conversation as the model's template says it",
     .bodies = kTemplateBodies,
     .answer = "PromptText",
     .errors = kTelling},
    {.operation = Operation::kOpenApi,
     .method = "GET",
     .path = "/openapi.json",
     .id = "getOpenApi",
     .summary = "This document",
     .errors = kOpen,
     .is_open = true,
     .has_etag = true},
};

}  // namespace

std::span<const OperationRow> Operations() { return kRows; }

std::string RoutePath(const std::string& path) {
  return path.substr(0, path.find('{')) + (path.ends_with('}') ? "*" : "");
}

}  // namespace quire::gateway
