#include "gateway/api/inference/inference_answers.h"

#include <utility>

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {
namespace {

// One that each attempt has.
schema::Schema HeaderOf(const char* name, const char* pattern, const char* about) {
  return {{"name", name},
          {"in", "header"},
          {"required", true},
          {"description", about},
          {"schema", {{"type", "string"}, {"pattern", pattern}}}};
}

schema::Schema WebhookHeaders() {
  return schema::Schema::array(
      {HeaderOf(
           "webhook-id", "^msg_[0-9a-f]+$",
           "`msg_` and the request's id: the same in each attempt, so that one that comes twice is told."),
       HeaderOf("webhook-timestamp", "^[0-9]+$",
                "Of this attempt, Unix seconds: check that it is of the last minutes."),
       HeaderOf(
           "webhook-signature", "^v1,[A-Za-z0-9+/]{43}=$",
           "`v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, the body's bytes as they came, "
           "under the secret of `GET /v1/webhook-secret`: of what follows `whsec_` the base64's bytes.")});
}

}  // namespace

schema::Schema InferenceCallbacks() {
  schema::Schema post{{"operationId", "sendInferenceWebhook"},
                      {"summary", "The answer of a job, signed as Standard Webhooks says"},
                      {"security", schema::Schema::array()},
                      {"parameters", WebhookHeaders()}};
  post["requestBody"] = {{"required", true}};
  post["requestBody"]["content"]["application/json"]["schema"] = schema::Ref("InferenceWebhook");
  post["responses"]["2XX"]["description"] = "It is taken, where that is said within 10 s.";
  post["responses"]["default"]["description"] =
      "408, 429 and 5xx: it is sent again, three times at most; no redirect is followed, all others are "
      "final.";
  schema::Schema callbacks;
  callbacks["answer"]["{$request.body#/webhook}"]["post"] = std::move(post);
  return callbacks;
}

void AddInferenceAnswers(schema::Schema& schemas) {
  using schema::Count, schema::Dollars, schema::Object, schema::OrNull, schema::Ref, schema::Text;
  const auto answer = [&](const char* status, schema::Schema results) {
    return Object({{"request_id", schema::Id("")},
                   {"results", std::move(results)},
                   {"num_tokens", Count()},
                   {"num_input_tokens", Count()},
                   {"inference_status", Object({{"status", schema::Just(status)},
                                                {"runtime_ms", Count()},
                                                {"cost", Dollars()},
                                                {"tokens_generated", Count()},
                                                {"tokens_input", Count()}})}});
  };
  schemas["InferenceDone"] =
      answer("succeeded", schema::Filled(schema::List(Object({{"generated_text", Text()}}), 4)));
  schemas["InferenceQueued"] = schema::About("To a request with a webhook, which gets the other form.",
                                             answer("queued", schema::EmptyList()));
  schemas["InferenceAnswer"] = schema::OneOf({"InferenceDone", "InferenceQueued"});
  schema::Schema failed = answer("failed", schema::EmptyList());
  failed["properties"]["error"] = Ref("ErrorDetails");
  failed["required"].push_back("error");
  schemas["InferenceFailed"] = schema::About("To a webhook only; it costs nothing.", std::move(failed));
  schemas["InferenceWebhook"] = schema::OneOf({"InferenceDone", "InferenceFailed"});
  schemas["WebhookSecret"] =
      Object({{"secret", schema::Schema{{"type", "string"}, {"pattern", "^whsec_[A-Za-z0-9+/]+=*$"}}}});
  schemas["InferenceDetails"] = Object({{"finish_reason", schema::Words({"stop", "length"})},
                                        {"finish_details?", Ref("FinishDetails")},
                                        {"generated_tokens", Count()},
                                        {"input_tokens", Count()},
                                        {"cost", Dollars()}});
  schemas["InferenceToken"] = Object({{"token", Object({{"id", OrNull(Count())},
                                                        {"text", Text()},
                                                        {"logprob", schema::Number()},
                                                        {"special", schema::Flag()}})},
                                      {"generated_text", schema::TextOrNull()},
                                      {"details", OrNull(Ref("InferenceDetails"))}});
  schemas["InferenceEvent"] = schema::About(
      "`data:` of an event, one for each token; the last has all of the text and `details`, or is an error. "
      "No `[DONE]` follows.",
      schema::OneOf({"InferenceToken", "Error"}));
}

}  // namespace quire::gateway
