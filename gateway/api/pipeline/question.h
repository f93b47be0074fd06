// What a door asks of a model's text files alone: nothing is generated, so nothing is admitted or billed.
// Plain data, moved between threads.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "gateway/api/error_response.h"
#include "gateway/generation/model_catalog.h"

namespace quire::gateway {

struct Question {
  std::string model;
  // The reply's body, JSON; on any thread, it takes as long as an Encode. `gone`: the client has left, so
  // that what is left of the work need not be done (ClientLeft).
  std::function<ApiResult<std::string>(const CatalogModel& model, const std::function<bool()>& gone)> answer;
};

// As a ParseBody (door_request.h).
using ParseQuestion = ApiResult<Question> (*)(std::string_view body);

}  // namespace quire::gateway
