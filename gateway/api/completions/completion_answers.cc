#include "gateway/api/completions/completion_answers.h"

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {
namespace {

using schema::Members, schema::Schema;

Members ChoiceMembers(Schema finish_reasons) {
  return {{"index", schema::Count()},
          {"text", schema::Text()},
          {"logprobs", schema::OrNull(schema::Ref("CompletionLogprobs"))},
          {"finish_reason", schema::Words(std::move(finish_reasons))},
          {"finish_details?", schema::Ref("FinishDetails")}};
}

Members HeadMembers() {
  return {{"id", schema::Id("cmpl-")},
          {"object", schema::Just("text_completion")},
          {"created", schema::Count()},
          {"model", schema::Text()}};
}

}  // namespace

void AddCompletionAnswers(Schema& schemas) {
  const Schema chances{{"type", "object"}, {"additionalProperties", schema::Number()}};
  schemas["CompletionLogprobs"] = schema::About(
      "Four lists of one length; of the likeliest null where none were asked for. What a text starts with "
      "follows nothing, and has null for both.",
      schema::Object({{"tokens", schema::List(schema::Text())},
                      {"token_logprobs", schema::List(schema::NumberOrNull())},
                      {"top_logprobs", schema::OrNull(schema::List(schema::OrNull(chances)))},
                      {"text_offset", schema::List(schema::Count())}}));
  schemas["CompletionChoice"] = schema::Object(ChoiceMembers({"stop", "length"}));
  Members whole = HeadMembers();
  whole.emplace_back("choices", schema::Filled(schema::List(schema::Ref("CompletionChoice"), 128)));
  whole.emplace_back("usage", schema::Ref("Usage"));
  schemas["Completion"] = schema::Object(whole);

  schemas["CompletionChunkChoice"] = schema::Object(ChoiceMembers({"stop", "length", nullptr}));
  Members chunk = HeadMembers();
  chunk.emplace_back("choices", schema::List(schema::Ref("CompletionChunkChoice"), 1));
  chunk.emplace_back("usage?", schema::OrNull(schema::Ref("Usage")));
  schemas["CompletionChunk"] = schema::Object(chunk);
  schemas["CompletionEvent"] = schema::About(
      "`data:` of an event. An error takes the place of the last finish; `data: [DONE]` comes last.",
      schema::OneOf({"CompletionChunk", "Error"}));
}

}  // namespace quire::gateway
