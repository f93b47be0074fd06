#include "gateway/api/inference/inference_answers.h"

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {

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
