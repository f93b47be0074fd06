// The body of POST /v1/inference/{model}, declared (field.h): the list of all its fields. Constants; any
// thread.
#pragma once

#include "base/http/https_url.h"
#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/completions/declared_completion.h"
#include "gateway/api/field.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

inline constexpr StringField kInferenceInput{
    .name = "input", .about = "A text, read as a completion's.", .filled = true, .required = true};
inline constexpr IntegerField kResponses{
    .name = "num_responses", .min = 1, .max = 4, .about = "Of a stream 1.", .absent = "1"};
// What ParseHttpsUrl takes, on the port that WebhookRules takes of everybody: the operator may list others.
inline constexpr const char* kWebhookPattern =
    R"(^[Hh][Tt][Tt][Pp][Ss]://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*)"
    R"([A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:443)?([/?](%[0-9A-Fa-f]{2}|[!$&-;=?-Z\[\]_a-z~])*)?$)";
inline constexpr StringField kWebhook{
    .name = "webhook",
    .max_bytes = http::kMaxUrlBytes,
    .about =
        "An https URL, which gets the whole answer, of no stream. Refused are users and passwords, "
        "addresses, "
        "names of more than 253 bytes, fragments, and every port but 443 (another host and port where the "
        "operator lists them), and all where the operator has turned webhooks off.",
    .pattern = kWebhookPattern};

inline constexpr auto kInferenceFields =
    JoinLists(std::to_array<AnyField>({kInferenceInput, kMaxNewTokens}), kSamplingFields,
              std::to_array<AnyField>({kResponseFormat, kStream, kResponses, kWebhook, kNoTools}),
              kUnsupportedFields, kChatRefusedFields);
inline constexpr const char* kInferenceRules[] = {
    R"({"if":{"properties":{"stream":{"const":true}},"required":["stream"]},)"
    R"("then":{"properties":{"num_responses":{"enum":[1,null]},"webhook":{"enum":[null]}}}})"};
inline constexpr DeclaredObject kInferenceShape{.name = "InferenceRequest",
                                                .fields = kInferenceFields,
                                                .rules = kInferenceRules,
                                                .example = R"({"input":"Once upon a time"})"};

}  // namespace quire::gateway
