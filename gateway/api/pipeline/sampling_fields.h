// The fields of a SamplingRequest as OpenAI's API and those like it name them: read out of a JSON object,
// each with its range. For every door whose body has them under these names. Pure; part of a parse.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/declared_fields.h"
#include "gateway/api/pipeline/sampling_request.h"

namespace quire::gateway {

std::string ReadModelName(FieldReader& fields);

// All but the model: kSamplingFields, and a door's fields for max_tokens, of which those that are there say
// the same.
SamplingRequest ReadSamplingFields(FieldReader& fields,
                                   std::initializer_list<const IntegerField*> max_tokens_fields);

// A string or a list; what was read before counts too.
void ReadStops(FieldReader& fields, const StopsField& field, SamplingRequest& request);

// What an effort by its name means.
struct ReasoningEffort {
  bool reasons = true;
  std::optional<uint32_t> budget;  // tokens of reasoning
};
std::optional<ReasoningEffort> ReadEffort(FieldReader& fields, const ChoiceField& field);

// What only the model's vocabulary can tell: ids of logit_bias and stop_token_ids below `vocabulary_size`.
std::optional<http::ApiError> CheckTokenIds(const SamplingRequest& request, int64_t vocabulary_size);

// What is said of an id that isn't.
std::string OutsideVocabulary(const std::string& param, int32_t id, int64_t vocabulary_size);

}  // namespace quire::gateway
