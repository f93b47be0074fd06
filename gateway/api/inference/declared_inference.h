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
inline constexpr StringField kWebhook{.name = "webhook",
                                      .max_bytes = http::kMaxUrlBytes,
                                      .about = "Gets the whole answer, of no stream.",
                                      .pattern = http::kHttpsUrlPattern};

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
